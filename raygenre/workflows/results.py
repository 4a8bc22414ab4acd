"""Train the networks whose accuracies are in docs/results.md; each row has a JSON file."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raygenre.data import dataset as data_sets
from raygenre.data import splits
from raygenre.data.dataset import Dataset
from raygenre.data.duplicates import read_duplicates
from raygenre.data.grouping import find_grouping
from raygenre.data.splits import Split
from raygenre.data.track_files import DataError
from raygenre.evaluation.metrics import Evaluation, wilson_interval
from raygenre.model.inference import predict_logits
from raygenre.model.precision import has_fast_bfloat16
from raygenre.search.space.space import Setting
from raygenre.search.trials.trainable import Plan, Tracks, make_members, merge_folds, train
from raygenre.search.trials.trial_result import EpochResult
from raygenre.system import code_version
from raygenre.system.atomic_write import write_atomically
from raygenre.system.hardware import processor_name
from raygenre.system.location import Location
from raygenre.system.worker_pool import unordered
from raygenre.training import checkpoint
from raygenre.workflows.result_rows import ROWS, Row, SplitKind

_START, _END = "<!-- accuracies: experiments/results.py --write -->", "<!-- end of accuracies -->"


@dataclass(frozen=True)
class Files:
    """The paths that the measurements use.

    Attributes:
        data: the dataset's folder.
        lists: folder with the lists of the filtered split, and with `artist_title.txt` and `duplicates_measured.json`.
        work: folder for training states, from which an interrupted measurement resumes.
        cache: folder for the levels of the dataset.
    """

    data: Path
    lists: Path
    work: Path
    cache: Path


def measure(
    rows: Sequence[Row], files: Files, results: Path, *, command: str, jobs: int
) -> Iterator[tuple[Row, int, dict[str, Any]]]:
    """Measure every seed of every row that has no result yet, and write each result to its row's file immediately.

    Args:
        results: folder for the rows' JSON files.
        command: command to record in the files.
        jobs: number of processes, each with a single thread.

    Yields:
        A row, a seed and the result for this seed.
    """
    trained = [row for row in rows if not row.of_study]
    todo = [(row, seed) for row in trained for seed in row.seeds if str(seed) not in _seeds(results, row)]
    for (row, seed), result in unordered(partial(_measure, files=files), todo, jobs=jobs):
        if isinstance(result, Exception):
            raise result
        write(results, row, seed, result, setting=row.setting, command=command)
        yield row, seed, result


def write(results: Path, row: Row, seed: int, result: Mapping[str, Any], *, setting: Setting, command: str) -> None:
    """Add the result of a seed to the row's file."""
    results.mkdir(parents=True, exist_ok=True)
    about = {
        "row": row.name,
        "title": row.title,
        "data": "reconstructed GTZAN images",
        "split": row.split,
        "tested": row.tested,
        "epochs": row.epochs,
        "setting": asdict(setting),
        "command": command,
        "seeds": {**_seeds(results, row), str(seed): result},
    }
    write_atomically(results / f"{row.name}.json", json.dumps(about, indent=1).encode())


def make_split(dataset: Dataset, kind: SplitKind, seed: int, files: Files, *, validation: float) -> Split:
    """Return a split of the given kind; the seed determines the random choices.

    Args:
        validation: share of a random split's training tracks that is used for validation.
    """
    if kind in ("user", "together"):
        known = None if kind == "user" else read_duplicates(files.lists / "duplicates_measured.json")
        return splits.random_split(dataset, seed=seed, folds=1, validation=validation, duplicates=known)
    grouping = None
    if kind == "artists":
        grouping = find_grouping(dataset, "artist", artists=files.lists / "artist_title.txt")
    return splits.given_split(
        dataset, files.lists, seed=seed, folds=1, validation=0.2, duplicates=[], grouping=grouping
    )


def read(results: Path, row: Row) -> dict[str, Any] | None:
    """Return the content of a row's file, or None if nothing has been measured."""
    path = results / f"{row.name}.json"
    if not path.exists():
        return None
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def table(results: Path) -> str:
    """Return the measured rows as a Markdown table."""
    lines = ["| row | split | measured on | epochs | accuracy | 95 % interval | seeds |", "| --- " * 7 + "|"]
    for row in ROWS.values():
        if content := read(results, row):
            seeds = list(content["seeds"].values())
            hits, tracks = sum(seed["hits"] for seed in seeds), sum(seed["tracks"] for seed in seeds)
            mean = statistics.mean(seed["hits"] / seed["tracks"] for seed in seeds)
            # All seeds of a fixed split are evaluated on the same tracks, so more seeds do not narrow the interval.
            low, high = wilson_interval(round(hits / len(seeds)), round(tracks / len(seeds)))
            side = f"{round(tracks / len(seeds))} {'test' if row.tested else 'validation'} tracks"
            each = ", ".join(f"{seed['hits'] / seed['tracks']:.1%}" for seed in seeds)
            interval = f"{low:.1%} to {high:.1%}"
            lines.append(f"| {row.title} | {row.split} | {side} | {row.epochs} | {mean:.1%} | {interval} | {each} |")
    return "\n".join(lines)


def with_table(document: str, results: Path) -> str:
    """Return a Markdown document with the current table between its markers."""
    before, _, rest = document.partition(_START)
    _, _, after = rest.partition(_END)
    return f"{before}{_START}\n{table(results)}\n{_END}{after}"


def _seeds(results: Path, row: Row) -> dict[str, Any]:
    content = read(results, row)
    return content["seeds"] if content else {}


def _measure(item: tuple[Row, int], files: Files) -> dict[str, Any]:
    """Train a row's network with a seed, or average the networks of another row, and return the result."""
    row, seed = item
    dataset = data_sets.load(files.data, cache=files.cache)
    # The first network's author kept 5 % for validation, which is too few tracks to compare networks.
    split = make_split(dataset, row.split, seed, files, validation=0.05 if row.tested else 0.2)
    [fold] = split.folds
    training, validation = (splits.indices(dataset, side) for side in (fold.train, fold.validation))
    tracks = Tracks(dataset.levels, dataset.labels, ((training, validation),))
    if row.tested and not row.holds_out:
        tracks = merge_folds(tracks)
    plan = Plan(genres=len(dataset.genres), epochs=row.epochs, threads=1, device="cpu")
    members = make_members(plan, row.setting, tracks, seed=seed)
    epochs: list[EpochResult] = []
    if row.average_of:
        folders = [_work_folder(files, ROWS[row.average_of], number) for number in ROWS[row.average_of].seeds]
    else:
        folders = [_work_folder(files, row, seed)]
        epochs = list(train(members, tracks, epochs=row.epochs, location=Location(str(folders[0]))))
    judged = splits.indices(dataset, split.test) if row.tested else validation
    evaluation = _evaluate(folders, dataset, judged)
    commit = code_version.commit(within=":/raygenre")  # ignores the result files, which are not in `raygenre`
    return {
        "date": date.today().isoformat(),
        "commit": commit.sha + (" and changes" if commit.changed else "") if commit else "",
        "processor": processor_name(),
        "bfloat16": has_fast_bfloat16(torch.device("cpu")),
        "train_tracks": len(tracks.folds[0][0]),
        "tracks": evaluation.tracks,
        "hits": evaluation.hits,
        "recall": evaluation.recall,
        "confusion": evaluation.confusion.tolist(),
        "epoch_seconds": statistics.median(epoch.seconds for epoch in epochs) if epochs else None,
        "curve": [
            {
                "train_loss": round(epoch.train_loss, 4),
                **(
                    {
                        "validation_loss": round(epoch.validation_loss, 4),
                        "validation_accuracy": round(epoch.validation_accuracy, 4),
                    }
                    if len(tracks.folds[0][1])
                    else {}
                ),
            }
            for epoch in epochs
        ],
    }


def _work_folder(files: Files, row: Row, seed: int) -> Path:
    return files.work / f"{row.name}-{seed}"


def _evaluate(folders: Sequence[Path], dataset: Dataset, judged: NDArray[np.int64]) -> Evaluation:
    """Evaluate the mean probabilities of the networks in these folders."""
    each = []
    for folder in folders:
        if not (state := checkpoint.latest(folder)):
            raise DataError(
                f"there is no trained network in {folder}; first measure the row {folder.name.rpartition('-')[0]}"
            )
        network = checkpoint.network(state).to(memory_format=torch.channels_last)
        each.append(predict_logits(network, dataset.levels[judged]).softmax(dim=1).numpy())
    return Evaluation(dataset.genres, dataset.labels[judged], np.mean(each, axis=0), threshold=0.0)
