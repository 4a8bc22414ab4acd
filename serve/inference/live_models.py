"""The models being served; new versions take over without interrupting requests.

A thread polls the registry for changed aliases. A new version is loaded while the old version keeps answering requests,
and takes over only after passing the self-check that is stored with it. Requests in progress finish with the version
they started with. If the new version is unavailable or fails, the old version stays in use, and the log, a metric and
`/readyz` report the reason. The new version is retried at the next poll if the registry or its file store was
unreachable, and after `RETRY_SECONDS` if its files are invalid.
"""

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass

import torch

from raygenre.evaluation.training_data import TrainingData
from raygenre.inputs.kind import RANGES, InputKind, Song
from raygenre.model.classifier import ClassifierError
from raygenre.model.input_drift import Drift, Reference
from raygenre.registry import champion
from raygenre.registry import versions as registry
from raygenre.registry.versions import Fetched, NoModelError, RegistryError, RegistryUnreachableError
from raygenre.tracking.retries import no_retries
from raygenre.tracking.server import Server
from serve.errors import RefusalError
from serve.monitoring import logs
from serve.monitoring.metrics import Metrics
from serve.schema import ModelName
from serve.settings import Settings

RETRY_SECONDS = 300.0  # seconds until a version with invalid files is retried
DRIFT_EVERY = 20  # songs between updates of the drift metric
_CHAMPION, _CHALLENGER = "model", "challenger"


@dataclass(frozen=True)
class LiveModel:
    """A model being served; input drift is measured if the training distribution is stored with the model."""

    fetched: Fetched
    drift: Drift | None

    @property
    def name(self) -> ModelName:
        name, _, version = self.fetched.name.partition("/")
        return ModelName(name=name, version=version, run_id=self.fetched.run_id)

    @property
    def input(self) -> InputKind:
        return self.fetched.classifier.input

    @property
    def trained_on(self) -> TrainingData:
        return TrainingData.of(self.fetched.classifier, self.fetched.facts)


class LiveModels:
    """The champion and the challenger in one replica.

    Args:
        champion_required: whether the registry must have a champion at startup; if False, a champion may be registered
            later.

    Attributes:
        errors: for each role, the reason why the version in the registry is not being served.
    """

    def __init__(self, server: Server, settings: Settings, metrics: Metrics, *, champion_required: bool = True) -> None:
        self._server = server
        self._settings = settings
        self._metrics = metrics
        self._device = torch.device("cuda" if settings.replica_gpus else "cpu")
        self._failures: dict[str, tuple[str, float, str]] = {}  # role → version, time and reason
        self._songs: Counter[str] = Counter()
        self.errors: dict[str, str] = {}
        self._champion = self._load_first(required=champion_required)
        self._challenger: LiveModel | None = None
        if settings.challenger_uri:
            self._refresh(_CHALLENGER, settings.challenger_uri)
        metrics.model_error(_CHAMPION, _CHAMPION in self.errors)

    @property
    def has_champion(self) -> bool:
        return self._champion is not None

    @property
    def champion(self) -> LiveModel:
        """The champion.

        Raises:
            RefusalError: 503 if no champion is available yet.
        """
        if self._champion:
            return self._champion
        detail = "no champion is registered yet; until one is, only /v1/predict is available, returning pretrained tags"
        raise RefusalError(503, detail, {"Retry-After": str(self._settings.retry_after)})

    @property
    def challenger(self) -> LiveModel | None:
        return self._challenger

    @property
    def versions(self) -> list[str]:
        """The versions being served, the champion's first; a model from a folder has no version."""
        return [model.name.version for model in (self._champion, self._challenger) if model and model.name.version]

    def choose(self, version: str = "") -> tuple[LiveModel, LiveModel | None]:
        """Return the champion, and the challenger if it should answer the next request.

        Args:
            version: if set, only the model with this version is returned.

        Raises:
            RefusalError: 404 if this version is not being served, 503 if no champion is available yet.
        """
        if version and self._champion:
            return self._of_version(version), None
        use_challenger = random.random() < self._settings.challenger_share
        return self.champion, self._challenger if use_challenger else None

    def watch(self) -> None:
        """Start polling the registry."""
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def record_input(self, model: LiveModel, song: Song) -> None:
        """Include a song in the measurement of the model's input drift."""
        if model.drift is None or (model is not self._champion and model is not self._challenger):
            return
        model.drift.add(model.fetched.classifier.input.summaries(song.windows))
        name = model.fetched.name
        self._songs[name] += 1
        if self._songs[name] % DRIFT_EVERY == 0 and (index := model.drift.index) is not None:
            self._metrics.drift(name, index.tolist())

    def _of_version(self, version: str) -> LiveModel:
        for model in (self._champion, self._challenger):
            if model and model.name.version == version:
                return model
        served = f"; served: {', '.join(self.versions)}" if self.versions else ", because the model is a folder"
        raise RefusalError(404, f"version {version[:50]!r} is not being served{served}")

    def _watch(self) -> None:
        while True:
            time.sleep(self._settings.poll_seconds * random.uniform(0.75, 1.25))  # so that replicas do not poll in sync
            self._refresh(_CHAMPION, self._settings.model_uri)
            if self._settings.challenger_uri:
                self._refresh(_CHALLENGER, self._settings.challenger_uri)

    def _refresh(self, role: str, uri: str) -> None:
        live = self._champion if role == _CHAMPION else self._challenger
        wanted = uri
        try:
            wanted = registry.current(self._server, uri)
            if live and live.fetched.name == wanted:
                self._clear_error(role)
                return
            version, failed_at, reason = self._failures.get(role, ("", 0.0, ""))
            if version == wanted and time.monotonic() - failed_at < RETRY_SECONDS:
                self.errors[role] = reason  # an outage may have replaced this error in the meantime
                return
            new = self._load(uri)
        except RegistryUnreachableError as error:
            self._set_error(role, wanted, str(error))
            return
        except Exception as error:  # noqa: BLE001 (after any error, the old version stays in use)
            self._failures[role] = (wanted, time.monotonic(), _reason(error, role, wanted))
            self._set_error(role, wanted, self._failures[role][2])
            return
        if role == _CHAMPION:
            self._champion = new
        else:
            self._challenger = new
        self._clear_error(role)
        if live and live.drift and live.drift.index is not None:
            self._metrics.drift(live.fetched.name, [0.0] * RANGES)
        self._metrics.change(role, "taken")
        logs.info("model loaded", role=role, model=new.fetched.name, before=live and live.fetched.name)

    def _clear_error(self, role: str) -> None:
        self._failures.pop(role, None)
        self.errors.pop(role, None)
        self._metrics.model_error(role, False)

    def _set_error(self, role: str, wanted: str, reason: str) -> None:
        if self.errors.get(role) != reason:
            logs.warning("model rejected", role=role, model=wanted, reason=reason)
        self.errors[role] = reason
        self._metrics.model_error(role, True)
        self._metrics.change(role, "refused")

    def _load_first(self, *, required: bool) -> LiveModel | None:
        """Return the configured model, or a former champion if the champion cannot be loaded.

        Raises:
            RegistryError, ClassifierError: no model can be loaded.
        """
        uri = self._settings.model_uri
        try:
            return self._load(uri)
        except NoModelError as error:
            if required or uri != registry.CHAMPION_URI:
                raise
            self._set_error(_CHAMPION, uri, str(error))
            return None
        except Exception as error:
            if uri != registry.CHAMPION_URI:
                raise
            reason = _reason(error, _CHAMPION, uri)
            for former in self._former_champions():
                try:
                    model = self._load(former)
                except Exception as former_error:  # noqa: BLE001 (as in `_refresh`; an earlier version may still load)
                    logs.warning("model rejected", role=_CHAMPION, model=former, reason=str(former_error))
                    continue
                self._set_error(_CHAMPION, uri, reason)
                return model
            raise

    def _former_champions(self) -> list[str]:
        """Return the URIs of former champions, latest first, or an empty list if the registry does not respond."""
        try:
            with no_retries():
                versions = champion.champions_before(self._server)
        except Exception as error:  # noqa: BLE001 (the caller reports why the champion itself cannot be loaded)
            logs.error("registry failed", error)
            return []
        return [f"models:/{registry.MODEL}/{version}" for version in reversed(versions)]

    def _load(self, uri: str) -> LiveModel:
        fetched = registry.fetch(self._server, uri, device=self._device)
        fetched.classifier.verify()
        try:
            drift = Drift(Reference.from_json(fetched.classifier.origin["level_distribution"]))
        except (KeyError, TypeError, ValueError):
            drift = None
        model = LiveModel(fetched, drift)
        if warning := model.trained_on.warning:
            logs.warning("model not for real songs", model=fetched.name, reason=warning)
        return model


def _reason(error: Exception, role: str, wanted: str) -> str:
    """Return the text of an error; log an unexpected error with its traceback."""
    if isinstance(error, RegistryError | ClassifierError):
        return str(error)
    logs.error("model failed", error, role=role, model=wanted)
    return repr(error)
