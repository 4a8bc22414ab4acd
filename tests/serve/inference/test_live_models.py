"""Which model a replica begins with, and when it looks for another."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from raygenre.model.classifier import WEIGHTS
from raygenre.model.input_drift import MIN_SONGS, RANGES
from raygenre.registry import champion, versions
from raygenre.registry.versions import Fetched, RegistryError, RegistryUnreachableError
from serve.inference.live_models import DRIFT_EVERY, Models
from serve.monitoring.metrics import Metrics
from serve.settings import Settings
from tests.helpers.serving import new_storage, register


class Counted:
    """What was counted of models, without Ray."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str]] = []
        self.drifts: dict[str, list[float]] = {}

    def trouble(self, role: str, there_is: bool) -> None:
        pass

    def change(self, role: str, outcome: str) -> None:
        self.changes.append((role, outcome))

    def drift(self, model: str, index: list[float]) -> None:
        self.drifts[model] = index


def fails(times: int, error: Exception, of: str = "") -> tuple[Callable[..., Fetched], list[str]]:
    """A fetch that fails so many times, for all models or one, and what it was asked for."""
    asked: list[str] = []
    fetch = versions.fetch

    def failing(storage: object, uri: str, **options: object) -> Fetched:
        asked.append(uri)
        if uri.startswith(of) and len([one for one in asked if one.startswith(of)]) <= times:
            raise error
        return fetch(storage, uri, **options)  # type: ignore[arg-type]

    return failing, asked


def break_last(root: Path) -> None:
    max((root / "artifacts").rglob(WEIGHTS), key=lambda path: path.stat().st_mtime_ns).write_bytes(b"broken")


@pytest.mark.usefixtures("ray_cluster")
def test_a_replica_that_starts_while_the_champion_is_damaged_takes_the_one_before(tmp_path: Path) -> None:
    storage = new_storage(tmp_path)
    register(storage, favourite=1)
    register(storage, favourite=2)
    break_last(tmp_path)
    models = Models(storage, Settings(), Metrics())
    assert models.champion.fetched.name == "raygenre/2"
    assert "cannot be loaded" in models.trouble["model"]
    champion.rollback(storage)
    assert Models(storage, Settings(), Metrics()).trouble == {}
    with pytest.raises(RegistryError, match="raygenre/3"):
        Models(storage, Settings(model_uri="models:/raygenre/3"), Metrics())


@pytest.mark.usefixtures("ray_cluster")
def test_a_replica_without_any_whole_model_does_not_start(tmp_path: Path) -> None:
    storage = new_storage(tmp_path)
    break_last(tmp_path)
    with pytest.raises(RegistryError, match="cannot be loaded"):
        Models(storage, Settings(), Metrics())


def test_a_replica_that_starts_while_a_store_fails_oddly_takes_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a bucket's own client does, whose errors are neither the registry's nor the system's."""
    storage = new_storage(tmp_path)
    for favourite in (1, 2):
        register(storage, favourite=favourite)
    failing, asked = fails(1, KeyError("Contents"), of="models:/raygenre@")
    monkeypatch.setattr(versions, "fetch", failing)
    fetch_2, _ = fails(1, KeyError("Contents"), of="models:/raygenre/2")
    monkeypatch.setattr(versions, "fetch", lambda *a, **k: (fetch_2 if a[1].endswith("/2") else failing)(*a, **k))
    models = Models(storage, Settings(), cast(Metrics, Counted()))
    assert models.champion.fetched.name == "raygenre/1"
    assert "Contents" in models.trouble["model"]
    assert asked == ["models:/raygenre@champion", "models:/raygenre/1"]


@pytest.mark.parametrize(
    ("error", "tries"),
    [(RegistryUnreachableError("the bucket is away"), 3), (RegistryError("wrong weights"), 1), (KeyError("x"), 1)],
)
def test_what_may_pass_is_tried_again_at_once_and_what_will_not_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, tries: int
) -> None:
    storage = new_storage(tmp_path)
    models = Models(storage, Settings(), cast(Metrics, Counted()))
    register(storage, favourite=1)
    failing, asked = fails(2, error)
    monkeypatch.setattr(versions, "fetch", failing)
    reasons = []
    for _ in range(4):
        models._refresh("model", versions.CHAMPION_URI)
        reasons.append(models.trouble.get("model", ""))
    assert len(asked) == tries
    assert (models.champion.fetched.name == "raygenre/2") is (tries == 3)
    assert all(reasons[:2])
    assert reasons[3] == ("" if tries == 3 else reasons[0])


def test_why_a_version_is_refused_is_told_again_after_an_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = new_storage(tmp_path)
    models = Models(storage, Settings(), cast(Metrics, Counted()))
    register(storage, favourite=1)
    break_last(tmp_path)
    models._refresh("model", versions.CHAMPION_URI)
    reason = models.trouble["model"]
    with monkeypatch.context() as outage:
        outage.setattr(
            versions, "current", lambda *_: (_ for _ in ()).throw(RegistryUnreachableError("the registry is away"))
        )
        models._refresh("model", versions.CHAMPION_URI)
        assert models.trouble["model"] == "the registry is away"
    models._refresh("model", versions.CHAMPION_URI)
    assert models.trouble["model"] == reason


def test_the_drift_is_of_a_version_and_ends_with_it(tmp_path: Path) -> None:
    storage = new_storage(tmp_path)
    counted = Counted()
    models = Models(storage, Settings(), cast(Metrics, counted))
    old, song = models.champion, np.full((1, 128, 333), 200, dtype=np.uint8)
    for _ in range(MIN_SONGS + DRIFT_EVERY):
        models.saw(old, song)
    assert max(counted.drifts["raygenre/1"]) > 0.25
    register(storage, favourite=1)
    models._refresh("model", versions.CHAMPION_URI)
    for _ in range(DRIFT_EVERY):
        models.saw(old, song)  # requests that began with it
    assert counted.drifts == {"raygenre/1": [0.0] * RANGES}
    for _ in range(MIN_SONGS + DRIFT_EVERY):
        models.saw(models.champion, song)
    assert max(counted.drifts["raygenre/2"]) > 0.25
    assert counted.drifts["raygenre/1"] == [0.0] * RANGES
