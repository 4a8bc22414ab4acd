"""Builds the classifier that a search registers: final network, calibration and origin."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from raygenre.data import splits
from raygenre.data.dataset import Dataset
from raygenre.errors import FileAccessError
from raygenre.inputs.kind import InputKind
from raygenre.model.calibration import calibrate
from raygenre.model.classifier import Classifier
from raygenre.model.input_drift import Reference
from raygenre.model.seen_tracks import SeenTracks
from raygenre.search.run import Candidate
from raygenre.search.study.ledger import Ledger
from raygenre.system.location import Location
from raygenre.training import checkpoint


def build_classifier(
    ledger: Ledger, dataset: Dataset, inputs: NDArray[Any], kind: InputKind, candidate: Candidate, parent: str
) -> Classifier:
    """Return the calibrated classifier of a search's winner, with its origin.

    Args:
        inputs: network inputs of the given kind for all tracks, (N, *shape).
        parent: key of the search's run; see `Tracker`.
    """
    with _state(candidate.final.location) as state:
        model = checkpoint.network(state)
    # The final training run has no validation tracks, so calibrate on the predictions of the winner's repeats.
    held_out = []
    for location in candidate.repeats:
        with _state(location) as state:
            held_out.append(checkpoint.validation_logits(state, dataset.labels))
    logits, labels = (torch.cat(parts) for parts in zip(*held_out, strict=True))
    train, test = (splits.indices(dataset, side) for side in (ledger.split.train, ledger.split.test))
    seen = SeenTracks.of(dataset.tracks, dataset.levels, train=train, test=test)
    origin = {
        "study": ledger.name,
        "mlflow_run": candidate.final.run,
        "mlflow_search": parent,
        "data_digest": dataset.digest,
        "synthetic": dataset.synthetic,
        "setting": asdict(candidate.winner.setting),
        "calibrated_on": len(labels),
        "train_counts": {genre: int((dataset.labels[train] == i).sum()) for i, genre in enumerate(dataset.genres)},
        "protocol": {
            name: getattr(ledger.config, name)
            for name in (
                "split",
                "seed",
                "folds",
                "validation",
                "trials",
                "epochs",
                "top_k",
                "keep_duplicates",
                "group_by",
            )
        },
        "level_distribution": Reference.of(kind.summaries(inputs[train])).to_json(),  # recorded for every kind of input
    }
    return Classifier(model, dataset.genres, calibrate(logits, labels), origin, seen=seen, input=kind)


@contextmanager
def _state(location: Location) -> Iterator[Path]:
    with checkpoint.local_copy(location) as folder:
        if not (state := checkpoint.latest(folder)):
            raise FileAccessError(f"there is no training state in {location}; it was deleted or moved")
        yield state
