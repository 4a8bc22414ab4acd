"""Train the networks behind the accuracies in docs/results.md, one JSON file for each row.

A row is one network and its training, on one split, with several seeds. Rows that choose between networks are measured
on validation tracks. All others are trained on the training and validation tracks together, and each seed looks at the
test tracks once.
"""

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from raygenre.data import dataset as data_sets
from raygenre.data import splits
from raygenre.data.dataset import Dataset
from raygenre.data.duplicates import read_duplicates
from raygenre.data.grouping import find_grouping
from raygenre.data.splits import Split
from raygenre.evaluation.metrics import Evaluation, wilson_interval
from raygenre.model.inference import predict_logits
from raygenre.model.precision import has_fast_bfloat16
from raygenre.search.space.presets import PRESETS
from raygenre.search.space.space import Setting, Value
from raygenre.search.trials.trainable import Plan, Tracks, make_members, merge_folds, train
from raygenre.system import code_version
from raygenre.system.atomic_write import write_atomically
from raygenre.system.hardware import processor_name
from raygenre.system.location import Location
from raygenre.system.worker_pool import unordered
from raygenre.training import checkpoint

SplitKind = Literal["user", "together", "filtered", "artists"]

SPLITS: dict[SplitKind, str] = {
    "user": "800/199 at random, copies of a recording on both sides",
    "together": "800/199 at random, known copies of a recording on one side",
    "filtered": "fault-filtered lists, 443/197/290",
    "artists": "fault-filtered lists, without training tracks by an artist of the test tracks",
}
_START, _END = "<!-- accuracies: experiments/results.py --write -->", "<!-- end of accuracies -->"
_SEEDS = (0, 1, 2)
_SHORT = 30  # epochs of the rows that compare means on validation tracks
_IMPROVED: dict[str, Value] = {
    **{name: value for name, value in PRESETS["improved"].entries.items() if not isinstance(value, (dict, list))},
    "learning_rate": PRESETS["improved"].start.learning_rate,
    "batch_size": PRESETS["improved"].batch_size,
    "decay": 0.0,
}
_ORIGINAL = asdict(Setting())


@dataclass(frozen=True)
class Row:
    """One row of the table of results.

    Attributes:
        name: name of the row and its file.
        title: what is measured.
        split: how the tracks are split; a key of `SPLITS`.
        epochs: number of epochs; all are trained.
        values: values of the setting that differ from the project's first network.
        tested: whether it is tested on the test tracks instead of validated.
        holds_out: for a tested row, whether the validation tracks stay out of training.
        seeds: seeds of the training runs.
    """

    name: str
    title: str
    split: SplitKind
    epochs: int
    values: dict[str, Value] = field(default_factory=dict)
    tested: bool = False
    holds_out: bool = False
    seeds: tuple[int, ...] = _SEEDS

    @property
    def setting(self) -> Setting:
        return Setting(**self.values)  # type: ignore[arg-type]


def _means() -> Iterator[Row]:
    """Yield the rows that show what each means adds to the original network, and what leaving it out costs."""
    yield Row("means-original", "original", "filtered", _SHORT)
    yield Row("means-improved", "improved", "filtered", _SHORT, _IMPROVED)
    groups = {
        "crops": ("crop_columns",),
        "network": ("convolutions", "stem"),
        "normalisation": ("normalisation",),
        "masks": ("masks",),
        "distortion": ("distortion",),
        "smoothing": ("label_smoothing",),
        "optimizer": ("optimizer", "weight_decay", "learning_rate"),
        "schedule": ("schedule",),
        "averaging": ("averaging",),
    }
    for name, fields in groups.items():
        alone = {field: _IMPROVED[field] for field in fields}
        without = {field: value for field, value in _IMPROVED.items() if field not in fields}
        yield Row(f"means-only-{name}", f"original with {name}", "filtered", _SHORT, alone)
        yield Row(f"means-no-{name}", f"improved without {name}", "filtered", _SHORT, without)
    yield Row("means-mixup", "improved with mixup", "filtered", _SHORT, {**_IMPROVED, "mixup": 0.2})


ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        Row("baseline", "the project's first network", "user", 150, tested=True, holds_out=True),
        *_means(),
        Row("improved-user", "improved", "user", 200, _IMPROVED, tested=True),
        Row("improved-together", "improved", "together", 200, _IMPROVED, tested=True),
        Row("improved-filtered", "improved", "filtered", 160, _IMPROVED, tested=True),
        Row("improved-artists", "improved", "artists", 160, _IMPROVED, tested=True),
    )
}


@dataclass(frozen=True)
class Files:
    """The files of the measurements.

    Attributes:
        data: the dataset's folder.
        lists: folder with the lists of the filtered split, and with `artist_title.txt` and `duplicates_measured.json`.
        work: folder for training states, so that an interrupted measurement resumes.
        cache: folder for the levels of the dataset.
    """

    data: Path
    lists: Path
    work: Path
    cache: Path


def measure(
    rows: Sequence[Row], files: Files, results: Path, *, command: str, jobs: int
) -> Iterator[tuple[Row, int, dict[str, Any]]]:
    """Measure every seed of every row that has no result yet, and write each to its row's file when it is finished.

    Args:
        results: folder for the rows' JSON files.
        command: command to record in the files.
        jobs: number of processes, each with a single thread.

    Yields:
        row, seed and the seed's result.
    """
    todo = [(row, seed) for row in rows for seed in row.seeds if str(seed) not in _seeds(results, row)]
    for (row, seed), result in unordered(partial(_measure, files=files), todo, jobs=jobs):
        if isinstance(result, Exception):
            raise result
        results.mkdir(parents=True, exist_ok=True)
        about = {
            "row": row.name,
            "title": row.title,
            "data": "reconstructed GTZAN images",
            "split": row.split,
            "tested": row.tested,
            "epochs": row.epochs,
            "setting": asdict(row.setting),
            "command": command,
            "seeds": {**_seeds(results, row), str(seed): result},
        }
        write_atomically(results / f"{row.name}.json", json.dumps(about, indent=1).encode())
        yield row, seed, result


def make_split(dataset: Dataset, kind: SplitKind, seed: int, files: Files) -> Split:
    """Return one of `SPLITS`; the random ones are drawn with the seed."""
    if kind in ("user", "together"):
        known = None if kind == "user" else read_duplicates(files.lists / "duplicates_measured.json")
        return splits.random_split(dataset, seed=seed, folds=1, validation=0.05, duplicates=known)
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
            # The seeds of a fixed split share their tracks, so they do not narrow the interval.
            low, high = wilson_interval(round(hits / len(seeds)), round(tracks / len(seeds)))
            side = f"{round(tracks / len(seeds))} {'test' if row.tested else 'validation'} tracks"
            each = ", ".join(f"{seed['hits'] / seed['tracks']:.1%}" for seed in seeds)
            interval = f"{low:.1%} to {high:.1%}"
            lines.append(f"| {row.title} | {row.split} | {side} | {row.epochs} | {mean:.1%} | {interval} | {each} |")
    return "\n".join(lines)


def with_table(document: str, results: Path) -> str:
    """Return a Markdown document with the current table between its marks."""
    before, _, rest = document.partition(_START)
    _, _, after = rest.partition(_END)
    return f"{before}{_START}\n{table(results)}\n{_END}{after}"


def _seeds(results: Path, row: Row) -> dict[str, Any]:
    content = read(results, row)
    return content["seeds"] if content else {}


def _measure(item: tuple[Row, int], files: Files) -> dict[str, Any]:
    """Train a row with a seed, and return its result."""
    row, seed = item
    dataset = data_sets.load(files.data, cache=files.cache)
    split = make_split(dataset, row.split, seed, files)
    [fold] = split.folds
    training, validation = (splits.indices(dataset, side) for side in (fold.train, fold.validation))
    tracks = Tracks(dataset.levels, dataset.labels, ((training, validation),))
    if row.tested and not row.holds_out:
        tracks = merge_folds(tracks)
    plan = Plan(genres=len(dataset.genres), epochs=row.epochs, threads=1, device="cpu")
    members = make_members(plan, row.setting, tracks, seed=seed)
    folder = files.work / f"{row.name}-{seed}"
    epochs = list(train(members, tracks, epochs=row.epochs, location=Location(str(folder))))
    state = checkpoint.latest(folder)
    assert state
    judged = splits.indices(dataset, split.test) if row.tested else validation
    evaluation = _evaluate(state, dataset, judged)
    commit = code_version.commit()
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
        "epoch_seconds": statistics.median(epoch.seconds for epoch in epochs),
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


def _evaluate(state: Path, dataset: Dataset, judged: NDArray[np.int64]) -> Evaluation:
    network = checkpoint.network(state).to(memory_format=torch.channels_last)
    probabilities = predict_logits(network, dataset.levels[judged]).softmax(dim=1).numpy()
    return Evaluation(dataset.genres, dataset.labels[judged], probabilities, threshold=0.0)
