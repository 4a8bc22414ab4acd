"""Runs of a finished search are repeated from their records in MLflow."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from raygenre import spectrogram
from raygenre.cli import app
from raygenre.data.dataset import Dataset
from raygenre.search.space.config import Resources
from raygenre.search.trials.phases import TextDisplay
from raygenre.system.code_version import CODE
from raygenre.tracking.server import Server
from raygenre.workflows import rerun, tune
from raygenre.workflows.rerun import (
    TOLERANCE,
    CurveDifference,
    Difference,
    RunRecord,
    largest_difference,
    read_record,
    replay,
)
from tests.conftest import GENRES, FinishedSearch, new_ledger
from tests.helpers.storages import empty_storage


def run_ids(finished: FinishedSearch, role: str) -> list[str]:
    server = finished.server
    runs = server.client.search_runs([server.experiment_id], f"tags.role = '{role}'")
    return [run.info.run_id for run in runs]


@pytest.fixture
def record(finished: FinishedSearch) -> RunRecord:
    return read_record(finished.server, finished.ledger.trial_run(1) or "")


def command(finished: FinishedSearch, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["rerun", "--storage", str(finished.storage.root), *arguments])


def ignored(_: list[Difference]) -> None:
    """Do nothing when a replay reports differences; a test can check the returned differences instead."""


@pytest.mark.parametrize("role", ["trial", "finalist", "final"])
def test_a_replayed_run_has_the_same_curve(finished: FinishedSearch, role: str) -> None:
    """A Ray worker trained the original; the replay runs in this process."""
    result = command(finished, run_ids(finished, role)[0])
    assert result.exit_code == 0, result.output
    assert "Same curve: largest difference 0" in result.stdout
    assert "differs from the original" not in result.stdout


def test_the_curve_is_the_same_in_float32(record: RunRecord, tracks: Dataset) -> None:
    record = replace(record, tags=record.tags | {"precision": "float32", "convolutions": "winograd"})
    before, differences = replay(record, tracks, on_start=ignored)
    now, _ = replay(record, tracks, on_start=ignored)
    kept = [{name: row[name] for name in (*rerun.COMPARED, "epoch")} for row in before]
    assert largest_difference(kept, now).difference <= TOLERANCE
    assert not differences


@pytest.mark.slow
def test_replays_of_a_float32_search_have_the_same_curves(tracks: Dataset, ray_cluster: None, tmp_path: Path) -> None:
    """This also holds on machines where bfloat16 is fast and therefore the default."""
    storage = empty_storage(tmp_path)
    space: dict[str, object] = {"precision": "float32", "width": 4}
    ledger = new_ledger(storage.studies.folder, tracks, trials=1, space=space)
    resources = Resources(1, 0, final_cpus=2)
    tune.run(ledger, tracks, Server(storage), resources=resources, promote=None, display=TextDisplay())
    for role, threads in (("trial", "1"), ("finalist", "1"), ("final", "2")):
        server = Server(storage)
        [run, *_] = server.client.search_runs([server.experiment_id], f"tags.role = '{role}'")
        before = read_record(server, run.info.run_id)
        assert before.tags["precision"] == "float32"
        assert before.tags["threads"] == threads
        now, differences = replay(before, tracks, on_start=ignored)
        assert largest_difference(before.curve, now).difference <= TOLERANCE
        assert not differences


def test_another_seed_has_another_curve(record: RunRecord, tracks: Dataset) -> None:
    rows, _ = replay(replace(record, seed=record.seed + 1), tracks, on_start=ignored)
    assert largest_difference(record.curve, rows).difference > 1000 * TOLERANCE


def test_another_number_of_threads_is_reported(finished: FinishedSearch) -> None:
    result = command(finished, "--threads", "2", run_ids(finished, "trial")[0])
    first, *_ = result.stdout.splitlines()[1:]
    assert first == "differs from the original: threads: 1 before, 2 now"
    assert result.stdout.rstrip().endswith("differs from the original: threads")
    assert result.exit_code == ("Different curve" in result.stdout)


@pytest.mark.parametrize("name", ["version.torch", "version.numpy", "version.raygenre", "processor", "device", CODE])
def test_other_versions_and_machines_are_reported(record: RunRecord, tracks: Dataset, name: str) -> None:
    reported: list[list[Difference]] = []
    old = replace(record, tags=record.tags | {name: "old"}, curve=record.curve[:1])
    _, differences = replay(old, tracks, on_start=reported.append)
    assert [(difference.what, difference.before) for difference in differences] == [(name, "old")]
    assert differences[0].now == record.tags[name]
    assert reported == [differences]


def test_values_that_were_not_recorded_are_reported(record: RunRecord, tracks: Dataset) -> None:
    tags = {name: value for name, value in record.tags.items() if name != "threads"}
    _, differences = replay(replace(record, tags=tags, curve=record.curve[:1]), tracks, on_start=ignored)
    assert [str(difference) for difference in differences] == ["threads: not recorded before, 1 now"]


def test_other_data_are_an_error(finished: FinishedSearch, tracks_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "others"
    shutil.copytree(tracks_folder, folder)
    black = np.zeros((128, 333), dtype=np.uint8)
    black[0, 0] = 1
    path = folder / "images_original" / GENRES[0] / f"{GENRES[0]}00000.png"
    path.write_bytes(spectrogram.write_png(black))
    result = command(finished, "--data", str(folder), run_ids(finished, "trial")[0])
    assert result.exit_code == 2
    digest = finished.dataset.digest[:16]
    assert f"differs from the data of the run trial-0002: digest: {digest} before, " in result.stderr


def test_runs_that_are_no_trainings_are_errors(finished: FinishedSearch, tmp_path: Path) -> None:
    result = command(finished, run_ids(finished, "search")[0])
    assert result.exit_code == 2
    assert "is not a training run: its role is search" in result.stderr
    result = command(finished, "0" * 32)
    assert result.exit_code == 2
    assert f"there is no run {'0' * 32}" in result.stderr
    result = CliRunner().invoke(app, ["rerun", "--storage", str(tmp_path / "nothing"), "0" * 32])
    assert result.exit_code == 2
    assert "there are no runs in sqlite" in result.stderr
    assert not (tmp_path / "nothing").exists()


def test_the_largest_difference_of_two_curves() -> None:
    before = [{"loss": 1.0, "rate": 0.5, "epoch": 1.0}, {"loss": 0.5, "rate": 0.25, "epoch": 2.0}]
    assert largest_difference(before, before) == CurveDifference(0.0)
    now = [before[0], before[1] | {"rate": 0.375}]
    assert largest_difference(before, now) == CurveDifference(0.125, "rate", 2)
    assert largest_difference(before, [before[0], before[1] | {"loss": math.nan}]) == CurveDifference(
        math.inf, "loss", 2
    )
