"""Which model a replica begins with."""

from pathlib import Path

import pytest

from raygenre import alias
from raygenre.classifier import WEIGHTS
from raygenre.registry import RegistryError
from serve.metrics import Metrics
from serve.models import Models
from serve.settings import Settings
from tests.endpoint.serving import new_storage, register


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
    alias.rollback(storage)
    assert Models(storage, Settings(), Metrics()).trouble == {}
    with pytest.raises(RegistryError, match="raygenre/3"):
        Models(storage, Settings(model_uri="models:/raygenre/3"), Metrics())


@pytest.mark.usefixtures("ray_cluster")
def test_a_replica_without_any_whole_model_does_not_start(tmp_path: Path) -> None:
    storage = new_storage(tmp_path)
    break_last(tmp_path)
    with pytest.raises(RegistryError, match="cannot be loaded"):
        Models(storage, Settings(), Metrics())
