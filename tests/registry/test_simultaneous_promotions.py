"""Several processes promote versions at the same time."""

import subprocess
import sys
from pathlib import Path

import pytest

from raygenre.data.dataset import Dataset
from raygenre.registry import champion, promotion, versions
from raygenre.registry.versions import MODEL
from raygenre.system.storage import Storage
from tests.helpers import rivals
from tests.helpers.mlflow_server import MlflowServer
from tests.helpers.project import ROOT
from tests.helpers.rivals import BELLS, DRONE, STORM, Ring


def test_a_champion_that_changes_meanwhile_is_compared_again(ring: Ring) -> None:
    champion.promote(ring.server, DRONE)
    fetched = versions.fetch(ring.server, f"models:/{MODEL}/{BELLS}")
    loads: list[int] = []

    def load() -> Dataset:
        if not loads:
            champion.promote(ring.server, STORM)
        loads.append(1)
        return ring.dataset

    decision = promotion.promote_if_better(ring.server, BELLS, fetched.classifier, fetched.facts, data=load)
    assert len(loads) == 2
    assert (decision.promote, decision.incumbent) == (False, STORM)
    assert ring.champion == STORM
    assert ring.tags(BELLS)["compared_with"] == str(STORM)


def promote_at_once(storage: Storage, numbers: tuple[int, ...], data: Path, folder: Path) -> None:
    """Promote versions against the same champion, each in a separate process."""
    folder.mkdir()
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.challenger", str(storage.root), storage.tracking_uri, str(version),
             str(data), str(folder), str(len(numbers))],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
        )
        for version in numbers
    ]  # fmt: skip
    for process in processes:
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == 0, printed


def check_that_one_won(ring: Ring) -> None:
    winner = ring.champion
    assert winner in (BELLS, STORM)
    loser = BELLS + STORM - winner
    assert [ring.tags(version)["promoted"] for version in (winner, loser)] == ["true", "false"]
    assert ring.tags(winner)["compared_with"] == str(DRONE)
    assert ring.tags(loser)["compared_with"] == str(winner)
    assert champion.champions_before(ring.server) == [DRONE]
    assert champion.rollback(ring.server) == (winner, DRONE)


@pytest.mark.slow
def test_one_of_two_simultaneous_promotions_wins(ring: Ring, tmp_path: Path) -> None:
    """Both versions are better than the champion, and neither is better than the other."""
    champion.promote(ring.server, DRONE)
    promote_at_once(ring.storage, (BELLS, STORM), Path(ring.dataset.source), tmp_path / "barrier")
    check_that_one_won(ring)


@pytest.mark.slow
def test_one_of_two_simultaneous_promotions_wins_on_a_server(
    mlflow_server: MlflowServer, rivals_ring: Ring, tmp_path: Path
) -> None:
    ring = Ring(mlflow_server.storage(tmp_path / "storage"), rivals_ring.dataset)
    for favourite in (1, 0, 2):
        rivals.register(ring.storage, rivals.rival(ring.dataset, favourite), ring.dataset)
    champion.promote(ring.server, DRONE)
    promote_at_once(ring.storage, (BELLS, STORM), Path(ring.dataset.source), tmp_path / "barrier")
    check_that_one_won(ring)
    names = [model.name for model in ring.server.client.search_registered_models()]
    assert names == [MODEL]  # the lock was released
