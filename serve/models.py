"""The models that answer, and how one takes another's place while requests go on.

A thread looks from time to time whether an alias has moved. A new version is loaded beside the old one, has to answer
its own stored examples as it did where it was saved, and only then takes over; requests that are under way end with the
version that they began with. A version that cannot be had or fails leaves the old one in service: the log, a metric and
`/readyz` say so, and it is tried again.
"""

import random
import threading
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from raygenre import alias, registry
from raygenre.classifier import ClassifierError
from raygenre.drift import Drift, Reference
from raygenre.registry import Fetched, RegistryError
from raygenre.storage import Storage
from serve import logs
from serve.metrics import Metrics
from serve.schema import ModelName
from serve.settings import Settings

TRY_AGAIN = 300.0  # s before a version that failed is tried once more
DRIFT_EVERY = 20  # songs between two computations of the index
_CHAMPION, _CHALLENGER = "model", "challenger"


@dataclass(frozen=True)
class Loaded:
    """A model in service, and what its training tracks looked like, if it says so."""

    fetched: Fetched
    drift: Drift | None

    @property
    def name(self) -> ModelName:
        name, _, version = self.fetched.name.partition("/")
        return ModelName(name=name, version=version, run_id=self.fetched.run_id)


class Models:
    """The model and the challenger of one replica.

    Attributes:
        trouble: by role, why the version that is wanted is not the one that serves.
    """

    def __init__(self, storage: Storage, settings: Settings, metrics: Metrics) -> None:
        self._storage = storage
        self._settings = settings
        self._metrics = metrics
        self._device = torch.device("cuda" if settings.replica_gpus else "cpu")
        self._failed: dict[str, tuple[str, float]] = {}
        self._songs = 0
        self.trouble: dict[str, str] = {}
        self._champion = self._first()
        self._challenger: Loaded | None = None
        if settings.challenger_uri:
            self._refresh(_CHALLENGER, settings.challenger_uri)
        metrics.trouble(_CHAMPION, _CHAMPION in self.trouble)

    @property
    def champion(self) -> Loaded:
        return self._champion

    @property
    def challenger(self) -> Loaded | None:
        return self._challenger

    def choose(self) -> tuple[Loaded, Loaded | None]:
        """Return the model that answers the next request, and the one to compare it with, if any."""
        champion, challenger = self._champion, self._challenger
        if challenger and random.random() < self._settings.challenger_share:
            return challenger, champion
        return champion, None

    def watch(self) -> None:
        """Begin to look for new versions."""
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def saw(self, loaded: Loaded, levels: NDArray[np.uint8]) -> None:
        """Count a song towards the drift of the input."""
        if loaded.drift is None:
            return
        loaded.drift.add(levels)
        self._songs += 1
        if self._songs % DRIFT_EVERY == 0 and (index := loaded.drift.index) is not None:
            self._metrics.drift(index.tolist())

    def _watch(self) -> None:
        while True:
            time.sleep(self._settings.poll_seconds * random.uniform(0.75, 1.25))  # replicas shall not all ask at once
            self._refresh(_CHAMPION, self._settings.model_uri)
            if self._settings.challenger_uri:
                self._refresh(_CHALLENGER, self._settings.challenger_uri)

    def _refresh(self, role: str, uri: str) -> None:
        serving = self._champion if role == _CHAMPION else self._challenger
        wanted = uri
        try:
            wanted = registry.current(self._storage, uri)
            if serving and serving.fetched.name == wanted:
                self._well(role)
                return
            failed, when = self._failed.get(role, ("", 0.0))
            if failed == wanted and time.monotonic() - when < TRY_AGAIN:
                return
            new = self._load(uri)
        except (RegistryError, ClassifierError) as error:
            self._ill(role, wanted, str(error))
            return
        except Exception as error:  # noqa: BLE001 (whatever a registry or its files come up with: the old one serves on)
            logs.error("model failed", error, role=role, model=wanted)
            self._ill(role, wanted, repr(error))
            return
        if role == _CHAMPION:
            self._champion = new
        else:
            self._challenger = new
        self._well(role)
        self._metrics.change(role, "taken")
        logs.info("model taken", role=role, model=new.fetched.name, before=serving and serving.fetched.name)

    def _well(self, role: str) -> None:
        self._failed.pop(role, None)
        self.trouble.pop(role, None)
        self._metrics.trouble(role, False)

    def _ill(self, role: str, wanted: str, reason: str) -> None:
        self._failed[role] = (wanted, time.monotonic())
        if self.trouble.get(role) != reason:
            logs.warning("model refused", role=role, model=wanted, reason=reason)
        self.trouble[role] = reason
        self._metrics.trouble(role, True)
        self._metrics.change(role, "refused")

    def _first(self) -> Loaded:
        """Load the model, or of champions that cannot be loaded the last one before that can.

        Raises:
            RegistryError, ClassifierError: there is none.
        """
        uri = self._settings.model_uri
        try:
            return self._load(uri)
        except (RegistryError, ClassifierError) as error:
            if uri != registry.CHAMPION_URI:
                raise
            for version in reversed(alias.champions_before(self._storage)):
                try:
                    loaded = self._load(f"models:/{registry.MODEL}/{version}")
                except (RegistryError, ClassifierError):
                    continue
                self._ill(_CHAMPION, uri, str(error))
                return loaded
            raise

    def _load(self, uri: str) -> Loaded:
        fetched = registry.fetch(self._storage, uri, device=self._device)
        fetched.classifier.check()
        try:
            drift = Drift(Reference.from_json(fetched.classifier.origin["level_distribution"]))
        except (KeyError, TypeError, ValueError):
            drift = None
        return Loaded(fetched, drift)
