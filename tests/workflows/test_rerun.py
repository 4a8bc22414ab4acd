"""Runs of a finished search, trained again from what MLflow has of them."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from raygenre import spectrogram
from raygenre.cli import app
from raygenre.data.dataset import Dataset
from raygenre.search.space.config import Resources
from raygenre.system.code_version import CODE
from raygenre.tracking.server import Server
from raygenre.workflows import rerun, tune
from raygenre.workflows.rerun import TOLERANCE, Difference, Largest, Record, largest, read, train_again
from tests.conftest import GENRES, FinishedSearch, new_ledger
from tests.helpers.storages import empty_storage


def run_ids(finished: FinishedSearch, role: str) -> list[str]:
    server = Server(finished.storage)
    runs = server.client.search_runs([server.experiment_id], f"tags.role = '{role}'")
    return [run.info.run_id for run in runs]


@pytest.fixture
def record(finished: FinishedSearch) -> Record:
    return read(Server(finished.storage), finished.ledger.trial_run(1) or "")


def command(finished: FinishedSearch, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["rerun", "--storage", str(finished.storage.root), *arguments])


def ignored(_: list[Difference]) -> None:
    """For trainings whose differences are looked at afterwards."""


@pytest.mark.parametrize("role", ["trial", "finalist", "final"])
def test_a_run_again_has_the_same_curve(finished: FinishedSearch, role: str) -> None:
    """Trained by a worker of Ray then, and in this process now."""
    result = command(finished, run_ids(finished, role)[0])
    assert result.exit_code == 0, result.output
    assert "The same curve: they differ by 0 at most" in result.stdout
    assert "not as it was" not in result.stdout


def test_the_same_curve_comes_out_in_float32_too(record: Record, tracks: Dataset) -> None:
    record = replace(record, tags=record.tags | {"precision": "float32", "convolutions": "winograd"})
    before, differences = train_again(record, tracks, begun=ignored)
    now, _ = train_again(record, tracks, begun=ignored)
    kept = [{name: row[name] for name in (*rerun.COMPARED, "epoch")} for row in before]
    assert largest(kept, now).difference <= TOLERANCE
    assert not differences


@pytest.mark.slow
def test_a_search_in_float32_is_trained_again_to_the_same_curve(
    tracks: Dataset, ray_cluster: None, tmp_path: Path
) -> None:
    """Wherever bfloat16 is fast and would be taken too."""
    storage = empty_storage(tmp_path)
    space: dict[str, object] = {"precision": "float32", "width": 4}
    ledger = new_ledger(storage.studies.folder, tracks, trials=1, space=space)
    resources = Resources(1, 0, final_cpus=2)
    tune.run(ledger, tracks, storage, resources=resources, promote=None, console=Console(quiet=True))
    for role, threads in (("trial", "1"), ("finalist", "1"), ("final", "2")):
        server = Server(storage)
        [run, *_] = server.client.search_runs([server.experiment_id], f"tags.role = '{role}'")
        before = read(server, run.info.run_id)
        assert before.tags["precision"] == "float32"
        assert before.tags["threads"] == threads
        now, differences = train_again(before, tracks, begun=ignored)
        assert largest(before.curve, now).difference <= TOLERANCE
        assert not differences


def test_another_seed_is_another_curve(record: Record, tracks: Dataset) -> None:
    rows, _ = train_again(replace(record, seed=record.seed + 1), tracks, begun=ignored)
    assert largest(record.curve, rows).difference > 1000 * TOLERANCE


def test_another_number_of_threads_is_named(finished: FinishedSearch) -> None:
    result = command(finished, "--threads", "2", run_ids(finished, "trial")[0])
    first, *_ = result.stdout.splitlines()[1:]
    assert first == "not as it was: threads: 1 before, 2 now"
    assert result.stdout.rstrip().endswith("not as it was: threads")
    assert result.exit_code == ("Another curve" in result.stdout)


@pytest.mark.parametrize("name", ["version.torch", "version.numpy", "version.raygenre", "processor", "device", CODE])
def test_other_versions_and_machines_are_named(record: Record, tracks: Dataset, name: str) -> None:
    told: list[list[Difference]] = []
    old = replace(record, tags=record.tags | {name: "old"}, curve=record.curve[:1])
    _, differences = train_again(old, tracks, begun=told.append)
    assert [(difference.what, difference.before) for difference in differences] == [(name, "old")]
    assert differences[0].now == record.tags[name]
    assert told == [differences]


def test_what_was_not_recorded_is_named(record: Record, tracks: Dataset) -> None:
    tags = {name: value for name, value in record.tags.items() if name != "threads"}
    _, differences = train_again(replace(record, tags=tags, curve=record.curve[:1]), tracks, begun=ignored)
    assert [str(difference) for difference in differences] == ["threads: not recorded before, 1 now"]


def test_other_data_are_refused(finished: FinishedSearch, tracks_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "others"
    shutil.copytree(tracks_folder, folder)
    black = np.zeros((128, 333), dtype=np.uint8)
    black[0, 0] = 1
    path = folder / "images_original" / GENRES[0] / f"{GENRES[0]}00000.png"
    path.write_bytes(spectrogram.write_png(black))
    result = command(finished, "--data", str(folder), run_ids(finished, "trial")[0])
    assert result.exit_code == 2
    digest = finished.dataset.digest[:16]
    assert f"are not those of the run trial-0002: digest: {digest} before, " in result.stderr


def test_what_is_no_training_is_refused(finished: FinishedSearch, tmp_path: Path) -> None:
    result = command(finished, run_ids(finished, "search")[0])
    assert result.exit_code == 2
    assert "is no training, but search" in result.stderr
    result = command(finished, "0" * 32)
    assert result.exit_code == 2
    assert f"there is no run {'0' * 32}" in result.stderr
    result = CliRunner().invoke(app, ["rerun", "--storage", str(tmp_path / "nothing"), "0" * 32])
    assert result.exit_code == 2
    assert "there are no runs in sqlite" in result.stderr
    assert not (tmp_path / "nothing").exists()


def test_the_largest_difference_is_found() -> None:
    before = [{"loss": 1.0, "rate": 0.5, "epoch": 1.0}, {"loss": 0.5, "rate": 0.25, "epoch": 2.0}]
    assert largest(before, before) == Largest(0.0)
    now = [before[0], before[1] | {"rate": 0.375}]
    assert largest(before, now) == Largest(0.125, "rate", 2)
    assert largest(before, [before[0], before[1] | {"loss": math.nan}]) == Largest(math.inf, "loss", 2)
