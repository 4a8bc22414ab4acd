"""The models that answer, and how one takes another's place while requests go on.

A thread looks from time to time whether an alias has moved. A new version is loaded beside the old one, has to answer
its own stored examples as it did where it was saved, and only then takes over; requests that are under way end with the
version that they began with. A version that cannot be had or fails leaves the old one in service: the log, a metric and
`/readyz` say so, and it is tried again: soon where the registry or its store was away, later where its files are wrong.
"""

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from raygenre.model.classifier import ClassifierError
from raygenre.model.input_drift import RANGES, Drift, Reference
from raygenre.registry import champion
from raygenre.registry import versions as registry
from raygenre.registry.versions import Fetched, RegistryError, RegistryUnreachableError
from raygenre.system.storage import Storage
from raygenre.tracking.server import no_retries
from serve.monitoring import logs
from serve.monitoring.metrics import Metrics
from serve.schema import ModelName
from serve.settings import Settings

TRY_AGAIN = 300.0  # s before a version that is not as it should be is tried once more
DRIFT_EVERY = 20  # songs between two computations of the index
_CHAMPION, _CHALLENGER = "model", "challenger"


@dataclass(frozen=True)
class LiveModel:
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
        self._failed: dict[str, tuple[str, float, str]] = {}  # by role: which version, when, and why
        self._songs: Counter[str] = Counter()
        self.trouble: dict[str, str] = {}
        self._champion = self._first()
        self._challenger: LiveModel | None = None
        if settings.challenger_uri:
            self._refresh(_CHALLENGER, settings.challenger_uri)
        metrics.trouble(_CHAMPION, _CHAMPION in self.trouble)

    @property
    def champion(self) -> LiveModel:
        return self._champion

    @property
    def challenger(self) -> LiveModel | None:
        return self._challenger

    def choose(self) -> tuple[LiveModel, LiveModel | None]:
        """Return the champion, and the challenger if the next request is one that it answers."""
        tried = random.random() < self._settings.challenger_share
        return self._champion, self._challenger if tried else None

    def watch(self) -> None:
        """Begin to look for new versions."""
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def saw(self, loaded: LiveModel, levels: NDArray[np.uint8]) -> None:
        """Count a song towards the drift of the input."""
        if loaded.drift is None or (loaded is not self._champion and loaded is not self._challenger):
            return
        loaded.drift.add(levels)
        name = loaded.fetched.name
        self._songs[name] += 1
        if self._songs[name] % DRIFT_EVERY == 0 and (index := loaded.drift.index) is not None:
            self._metrics.drift(name, index.tolist())

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
            failed, when, why = self._failed.get(role, ("", 0.0, ""))
            if failed == wanted and time.monotonic() - when < TRY_AGAIN:
                self.trouble[role] = why  # in the place of an outage meanwhile
                return
            new = self._load(uri)
        except RegistryUnreachableError as error:
            self._ill(role, wanted, str(error))
            return
        except Exception as error:  # noqa: BLE001 (whatever a registry or its files come up with: the old one serves on)
            self._failed[role] = (wanted, time.monotonic(), _reason(error, role, wanted))
            self._ill(role, wanted, self._failed[role][2])
            return
        if role == _CHAMPION:
            self._champion = new
        else:
            self._challenger = new
        self._well(role)
        if serving and serving.drift and serving.drift.index is not None:
            self._metrics.drift(serving.fetched.name, [0.0] * RANGES)
        self._metrics.change(role, "taken")
        logs.info("model taken", role=role, model=new.fetched.name, before=serving and serving.fetched.name)

    def _well(self, role: str) -> None:
        self._failed.pop(role, None)
        self.trouble.pop(role, None)
        self._metrics.trouble(role, False)

    def _ill(self, role: str, wanted: str, reason: str) -> None:
        if self.trouble.get(role) != reason:
            logs.warning("model refused", role=role, model=wanted, reason=reason)
        self.trouble[role] = reason
        self._metrics.trouble(role, True)
        self._metrics.change(role, "refused")

    def _first(self) -> LiveModel:
        """Load the model, or of champions that cannot be loaded the last one before that can.

        Raises:
            RegistryError, ClassifierError: there is none.
        """
        uri = self._settings.model_uri
        try:
            return self._load(uri)
        except Exception as error:
            if uri != registry.CHAMPION_URI:
                raise
            reason = _reason(error, _CHAMPION, uri)
            for before in self._before():
                try:
                    loaded = self._load(before)
                except Exception as other:  # noqa: BLE001 (as above: another one may be whole)
                    logs.warning("model refused", role=_CHAMPION, model=before, reason=str(other))
                    continue
                self._ill(_CHAMPION, uri, reason)
                return loaded
            raise

    def _before(self) -> list[str]:
        """The champions before, the last one first; none if the registry does not say."""
        try:
            with no_retries():
                versions = champion.champions_before(self._storage)
        except Exception as error:  # noqa: BLE001 (why the champion itself cannot be had is what is told)
            logs.error("registry failed", error)
            return []
        return [f"models:/{registry.MODEL}/{version}" for version in reversed(versions)]

    def _load(self, uri: str) -> LiveModel:
        fetched = registry.fetch(self._storage, uri, device=self._device)
        fetched.classifier.verify()
        try:
            drift = Drift(Reference.from_json(fetched.classifier.origin["level_distribution"]))
        except (KeyError, TypeError, ValueError):
            drift = None
        return LiveModel(fetched, drift)


def _reason(error: Exception, role: str, wanted: str) -> str:
    """What is told of an error; one that nobody expected is logged with its traceback."""
    if isinstance(error, RegistryError | ClassifierError):
        return str(error)
    logs.error("model failed", error, role=role, model=wanted)
    return repr(error)
