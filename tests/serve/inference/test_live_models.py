"""The model with which a replica starts, and the loading of new versions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from raygenre.inputs.kind import RANGES, Song
from raygenre.model.classifier import WEIGHTS
from raygenre.model.input_drift import MIN_SONGS
from raygenre.registry import champion, versions
from raygenre.registry.versions import Fetched, RegistryError, RegistryUnreachableError
from raygenre.tracking.server import Server
from serve.inference.live_models import DRIFT_EVERY, LiveModels
from serve.monitoring.metrics import Metrics
from serve.settings import Settings
from tests.helpers.serving import new_storage, register


class FakeMetrics:
    """Model metrics without Ray."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str]] = []
        self.drifts: dict[str, list[float]] = {}

    def model_error(self, role: str, is_set: bool) -> None:
        pass

    def change(self, role: str, outcome: str) -> None:
        self.changes.append((role, outcome))

    def drift(self, model: str, index: list[float]) -> None:
        self.drifts[model] = index


def fails(times: int, error: Exception, of: str = "") -> tuple[Callable[..., Fetched], list[str]]:
    """Return a `fetch` that fails for the first `times` URIs that start with `of`, and a list of all requested URIs."""
    asked: list[str] = []
    fetch = versions.fetch

    def failing(server: object, uri: str, **options: object) -> Fetched:
        asked.append(uri)
        if uri.startswith(of) and sum(called.startswith(of) for called in asked) <= times:
            raise error
        return fetch(server, uri, **options)  # type: ignore[arg-type]

    return failing, asked


def break_last(root: Path) -> None:
    max((root / "artifacts").rglob(WEIGHTS), key=lambda path: path.stat().st_mtime_ns).write_bytes(b"broken")


@pytest.mark.usefixtures("ray_cluster")
def test_a_damaged_champion_is_replaced_by_the_former_one(tmp_path: Path) -> None:
    storage = new_storage(tmp_path)
    register(storage, favourite=1)
    register(storage, favourite=2)
    break_last(tmp_path)
    models = LiveModels(Server(storage), Settings(), Metrics())
    assert models.champion.fetched.name == "raygenre/2"
    assert "cannot be loaded" in models.errors["model"]
    champion.rollback(Server(storage))
    assert LiveModels(Server(storage), Settings(), Metrics()).errors == {}
    with pytest.raises(RegistryError, match="raygenre/3"):
        LiveModels(Server(storage), Settings(model_uri="models:/raygenre/3"), Metrics())


def test_a_champion_with_reversed_genres_is_refused(tmp_path: Path) -> None:
    storage = new_storage(tmp_path)
    [about] = (tmp_path / "artifacts").rglob("classifier.json")
    changed = json.loads(about.read_text())
    about.write_text(json.dumps(changed | {"genres": changed["genres"][::-1]}))
    with pytest.raises(RegistryError, match=r"cannot be loaded: .*genres.* are not those that were saved"):
        LiveModels(Server(storage), Settings(), cast(Metrics, FakeMetrics()))


@pytest.mark.usefixtures("ray_cluster")
def test_a_replica_without_any_intact_model_does_not_start(tmp_path: Path) -> None:
    storage = new_storage(tmp_path)
    break_last(tmp_path)
    with pytest.raises(RegistryError, match="cannot be loaded"):
        LiveModels(Server(storage), Settings(), Metrics())


def test_a_model_of_synthetic_sounds_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    storage = new_storage(tmp_path)
    models = LiveModels(Server(storage), Settings(), cast(Metrics, FakeMetrics()))
    register(storage, favourite=1)
    models._refresh("model", versions.CHAMPION_URI)
    logged = [record for record in caplog.records if record.getMessage() == "model not for real songs"]
    assert [vars(record)["facts"] for record in logged] == [
        {"model": f"raygenre/{version}", "reason": "trained on synthetic sounds, not on music"} for version in (1, 2)
    ]


def test_an_unexpected_store_error_falls_back_to_the_former_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example, errors from a bucket's client library are neither MLflow errors nor OSErrors."""
    storage = new_storage(tmp_path)
    for favourite in (1, 2):
        register(storage, favourite=favourite)
    failing, asked = fails(1, KeyError("Contents"), of="models:/raygenre@")
    monkeypatch.setattr(versions, "fetch", failing)
    fetch_2, _ = fails(1, KeyError("Contents"), of="models:/raygenre/2")
    monkeypatch.setattr(versions, "fetch", lambda *a, **k: (fetch_2 if a[1].endswith("/2") else failing)(*a, **k))
    models = LiveModels(Server(storage), Settings(), cast(Metrics, FakeMetrics()))
    assert models.champion.fetched.name == "raygenre/1"
    assert "Contents" in models.errors["model"]
    assert asked == ["models:/raygenre@champion", "models:/raygenre/1"]


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (RegistryUnreachableError("the bucket is unreachable"), 3),
        (RegistryError("wrong weights"), 1),
        (KeyError("x"), 1),
    ],
)
def test_outages_are_retried_at_once_and_bad_files_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, tries: int
) -> None:
    storage = new_storage(tmp_path)
    models = LiveModels(Server(storage), Settings(), cast(Metrics, FakeMetrics()))
    register(storage, favourite=1)
    failing, asked = fails(2, error)
    monkeypatch.setattr(versions, "fetch", failing)
    reasons = []
    for _ in range(4):
        models._refresh("model", versions.CHAMPION_URI)
        reasons.append(models.errors.get("model", ""))
    assert len(asked) == tries
    assert (models.champion.fetched.name == "raygenre/2") is (tries == 3)
    assert all(reasons[:2])
    assert reasons[3] == ("" if tries == 3 else reasons[0])


def test_the_reason_for_a_rejection_returns_after_an_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = new_storage(tmp_path)
    models = LiveModels(Server(storage), Settings(), cast(Metrics, FakeMetrics()))
    register(storage, favourite=1)
    break_last(tmp_path)
    models._refresh("model", versions.CHAMPION_URI)
    reason = models.errors["model"]
    with monkeypatch.context() as outage:
        outage.setattr(
            versions,
            "current",
            lambda *_: (_ for _ in ()).throw(RegistryUnreachableError("the registry is unreachable")),
        )
        models._refresh("model", versions.CHAMPION_URI)
        assert models.errors["model"] == "the registry is unreachable"
    models._refresh("model", versions.CHAMPION_URI)
    assert models.errors["model"] == reason


def test_input_drift_is_kept_per_version(tmp_path: Path) -> None:
    storage = new_storage(tmp_path)
    metrics = FakeMetrics()
    models = LiveModels(Server(storage), Settings(), cast(Metrics, metrics))
    old, song = models.champion, Song(np.full((1, 128, 333), 200, dtype=np.uint8), ((0.0, 30.0),), (0,))
    for _ in range(MIN_SONGS + DRIFT_EVERY):
        models.record_input(old, song)
    assert max(metrics.drifts["raygenre/1"]) > 0.25
    register(storage, favourite=1)
    models._refresh("model", versions.CHAMPION_URI)
    for _ in range(DRIFT_EVERY):
        models.record_input(old, song)  # requests that started with the old version
    assert metrics.drifts == {"raygenre/1": [0.0] * RANGES}
    for _ in range(MIN_SONGS + DRIFT_EVERY):
        models.record_input(models.champion, song)
    assert max(metrics.drifts["raygenre/2"]) > 0.25
    assert metrics.drifts["raygenre/1"] == [0.0] * RANGES
