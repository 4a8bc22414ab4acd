"""Rows of the accuracy table are measured once per seed, stored and shown in the document."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from raygenre.audio.file_type import PNG_SIGNATURE
from raygenre.data.dataset import Dataset
from raygenre.data.track_files import DataError
from raygenre.workflows.result_curves import curves_png
from raygenre.workflows.result_rows import ROWS, Row
from raygenre.workflows.results import Files, make_split, measure, read, table, with_table
from tests.helpers.project import ROOT

TINY = Row("tiny", "a tiny network", "user", 2, {"width": 4, "dense": 4}, tested=True, seeds=(0, 1))


def files(tracks: Dataset, folder: Path) -> Files:
    return Files(Path(tracks.source), folder, folder / "work", folder / "cache")


def test_a_row_is_measured_once_per_seed(tracks: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = tmp_path / "results"
    found = list(measure([TINY], files(tracks, tmp_path), stored, command="tune", jobs=1))
    assert [seed for _, seed, _ in found] == [0, 1]
    content = read(stored, TINY)
    assert content
    assert (content["command"], content["setting"]["width"], content["epochs"]) == ("tune", 4, 2)
    for _, seed, result in found:
        assert content["seeds"][str(seed)] == result
        assert len(result["curve"]) == 2
        assert result["train_tracks"] + result["tracks"] == len(tracks.tracks)
        assert sum(map(sum, result["confusion"])) == result["tracks"]
        assert sum(row[i] for i, row in enumerate(result["confusion"])) == result["hits"]
    assert list(measure([TINY], files(tracks, tmp_path), stored, command="tune", jobs=1)) == []
    monkeypatch.setitem(ROWS, "tiny", TINY)
    share = [f"{result['hits'] / result['tracks']:.1%}" for _, _, result in found]
    assert f"| {', '.join(share)} |" in table(stored).splitlines()[-1]


def test_an_average_is_that_of_another_rows_networks(
    tracks: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROWS, "tiny", replace(TINY, seeds=(0, 0)))  # the mean of two identical networks
    average = Row("average", "average", "user", 2, TINY.values, tested=True, seeds=(0,), average_of="tiny")
    stored, places = tmp_path / "results", files(tracks, tmp_path)
    with pytest.raises(DataError, match="first measure the row tiny"):
        list(measure([average], places, stored, command="tune", jobs=1))
    [(_, _, alone)] = measure([replace(TINY, seeds=(0,))], places, stored, command="tune", jobs=1)
    [(_, _, averaged)] = measure([average], places, stored, command="tune", jobs=1)
    assert averaged["confusion"] == alone["confusion"]


def test_a_row_that_compares_never_sees_the_test_tracks(tracks: Dataset, tmp_path: Path) -> None:
    [(_, _, result)] = measure(
        [Row("compared", "compared", "user", 1, {"width": 4}, seeds=(3,))],
        files(tracks, tmp_path),
        tmp_path / "results",
        command="tune",
        jobs=1,
    )
    split = make_split(tracks, "user", 3, files(tracks, tmp_path), validation=0.2)
    assert result["tracks"] == len(split.folds[0].validation)
    assert result["train_tracks"] == len(split.folds[0].train)


def test_only_comparisons_choose_and_only_tested_rows_test() -> None:
    assert not any(row.tested for row in ROWS.values() if row.name.startswith("means-"))
    assert all(row.tested for row in ROWS.values() if not row.name.startswith("means-"))
    assert all(name == row.name for name, row in ROWS.items())


def test_the_document_shows_the_stored_results() -> None:
    document = (ROOT / "docs" / "results.md").read_text()
    assert with_table(document, ROOT / "benchmarks" / "results") == document, (
        "run python experiments/results.py --write"
    )


def test_curves_are_drawn_once_both_networks_are_measured(tmp_path: Path) -> None:
    curve = [{"train_loss": 2.0, "validation_loss": 2.1, "validation_accuracy": 0.2}] * 3
    stored = json.dumps({"seeds": {"0": {"epoch_seconds": 1.5, "curve": curve}}})
    (tmp_path / "means-time-original.json").write_text(stored)
    assert curves_png(tmp_path) is None
    (tmp_path / "means-time-improved.json").write_text(stored)
    assert (curves_png(tmp_path) or b"").startswith(PNG_SIGNATURE)
