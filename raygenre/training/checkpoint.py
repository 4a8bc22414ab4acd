"""Save training checkpoints between epochs, and resume from them.

A checkpoint is a folder `epoch-NNNN` with `state.safetensors` (weights and their average, optimizer state and best
validation logits of every member) and `state.json` (epochs, seeds, settings and metrics so far). The folder gets this
name only when it is complete, so a process that is killed at any time leaves either the previous checkpoint or the new
one. Object stores cannot rename folders, so `state.json` is uploaded last, and a checkpoint that contains it is
complete. Random state is not stored, because it is determined by a member's seed and epoch.
"""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor

from raygenre.errors import RaygenreError
from raygenre.model.networks import Network, build, config_of
from raygenre.system.atomic_write import atomic_folder
from raygenre.system.location import Location
from raygenre.training.config import TrainingConfig
from raygenre.training.loop import EpochMetrics
from raygenre.training.member import Member

_EPOCH = "epoch-"
_CHOSEN_LOGITS = "best_logits"  # this name is kept for older checkpoints
_TENSORS, _ABOUT = "state.safetensors", "state.json"


class CheckpointError(RaygenreError, ValueError):
    """A checkpoint does not belong to the training run that should resume from it."""


def save(folder: Path, members: Sequence[Member], history: Sequence[EpochMetrics]) -> Path:
    """Write a checkpoint to `folder/epoch-NNNN`, remove older ones, and return the new path.

    Raises:
        OSError: the disk is full or read-only; the previous checkpoint still exists.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{_EPOCH}{members[0].epoch:04d}"
    tensors: dict[str, Tensor] = {}
    for number, member in enumerate(members):
        for name, tensor in member.model.state_dict().items():
            tensors[f"{number}/model/{name}"] = tensor.detach().contiguous()
        if member.average is not None:
            for name, tensor in member.average.state_dict().items():
                tensors[f"{number}/average/{name}"] = tensor.contiguous()
        if member.chosen_logits is not None:
            tensors[f"{number}/{_CHOSEN_LOGITS}"] = member.chosen_logits
        for index, moments in member.optimizer.state_dict()["state"].items():
            for name, tensor in moments.items():
                tensors[f"{number}/optimizer/{index}/{name}"] = tensor.detach().contiguous()
    about = {"members": [_about(member) for member in members], "history": [_plain(row) for row in history]}
    with atomic_folder(target) as unfinished:
        # safetensors' own save_file does not raise OSError when the disk is full.
        _write(unfinished / _TENSORS, serialise(tensors))
        _write(unfinished / _ABOUT, json.dumps(about, allow_nan=False).encode())
        if target.exists():
            shutil.rmtree(target)
    _sync_names(folder)  # must precede the removal of the previous checkpoint
    for entry in folder.iterdir():
        if entry != target:
            shutil.rmtree(entry, ignore_errors=True)
    return target


@contextmanager
def local_copy(place: Location) -> Iterator[Path]:
    """Yield a local folder with the newest complete checkpoint: `place` itself or, if it is remote, a temporary copy.

    Raises:
        OSError: the object store is unreachable.
    """
    if not place.is_remote:
        yield place.folder
        return
    with tempfile.TemporaryDirectory(prefix="raygenre-state-") as scratch:
        for name in reversed([name for name in place.names() if name.startswith(_EPOCH)]):
            stored = place / name
            if _ABOUT in stored.names():
                (Path(scratch) / name).mkdir()
                for file in (_TENSORS, _ABOUT):
                    (Path(scratch) / name / file).write_bytes(stored.read(file))
                break
        yield Path(scratch)


def upload(path: Path, place: Location) -> None:
    """Upload a checkpoint written by `save` and remove older ones from `place`; do nothing if `place` is local.

    Raises:
        OSError: the upload failed; the previous checkpoint still exists in the store.
    """
    if not place.is_remote:
        return
    for file in (_TENSORS, _ABOUT):
        (place / path.name).write(file, (path / file).read_bytes())
    for name in place.names():
        if name != path.name:
            (place / name).remove()


def latest(folder: Path) -> Path | None:
    """Return the newest complete checkpoint that `save` wrote to a folder; None if there is none."""
    return max(folder.glob(f"{_EPOCH}*"), default=None)


def restore(path: Path, members: Sequence[Member]) -> list[EpochMetrics]:
    """Load a checkpoint into new members, and return the metrics up to that point.

    Raises:
        CheckpointError: the members differ from the saved members in number, seeds, settings or tracks.
    """
    about = json.loads((path / _ABOUT).read_text())
    expected = [_about(member) | {"epoch": 0} for member in members]
    if [_completed(saved) | {"epoch": 0} for saved in about["members"]] != json.loads(json.dumps(expected)):
        raise CheckpointError(
            f"the checkpoint {path} was saved by a training run with different settings or tracks; "
            "resume with the same settings and tracks, or start a new study"
        )
    tensors = load_file(path / _TENSORS)
    for number, (member, saved) in enumerate(zip(members, about["members"], strict=True)):
        member.model.load_state_dict(_weights(tensors, f"{number}/model/"))
        if member.average is not None:
            member.average.load_state_dict(_weights(tensors, f"{number}/average/"))
        optimizer = member.optimizer.state_dict()
        optimizer["state"] = {}
        for key, tensor in tensors.items():
            member_number, kind, *rest = key.split("/")
            if (member_number, kind) == (str(number), "optimizer"):
                optimizer["state"].setdefault(int(rest[0]), {})[rest[1]] = tensor
        member.optimizer.load_state_dict(optimizer)
        for moments in member.optimizer.state.values():
            if "mu_product" in moments:
                moments["mu_product"] = moments["mu_product"].cpu()  # NAdam always keeps this value on the CPU
        member.epoch = saved["epoch"]
        member.chosen_logits = tensors.get(f"{number}/{_CHOSEN_LOGITS}")
    return history(path)


def network(path: Path) -> Network:
    """Return the first member's network from a checkpoint, with averaged weights if the settings enable averaging."""
    [about, *_] = json.loads((path / _ABOUT).read_text())["members"]
    model = build(config_of(about["model"]))
    tensors = load_file(path / _TENSORS)
    model.load_state_dict(_weights(tensors, "0/average/") or _weights(tensors, "0/model/"))
    return model


def validation_logits(path: Path, labels: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Return the validation logits (N, G) of a checkpoint's chosen epoch, and the tracks' labels (N,).

    The logits of all members are concatenated.

    Args:
        labels: int64, the labels of all tracks in the dataset.
    """
    members = json.loads((path / _ABOUT).read_text())["members"]
    tensors = load_file(path / _TENSORS)
    logits = [tensors[f"{number}/{_CHOSEN_LOGITS}"] for number in range(len(members))]
    tracks = [track for member in members for track in member["validation_tracks"]]
    return torch.cat(logits), torch.from_numpy(labels[tracks])


def history(path: Path) -> list[EpochMetrics]:
    """Return the metrics of all epochs up to a checkpoint."""
    rows: list[dict[str, Any]] = json.loads((path / _ABOUT).read_text())["history"]
    for row in rows:
        row.update({key: math.nan for key, value in row.items() if value is None})
    return [EpochMetrics(**row) for row in rows]


def _weights(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names start with a prefix, keyed by their names without the prefix."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _write(path: Path, content: bytes) -> None:
    """Write a file and flush it to disk, so that it survives a machine crash."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_names(folder: Path) -> None:
    """Flush a folder's entries to disk, so that renamed files survive a machine crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _about(member: Member) -> dict[str, object]:
    return {
        "epoch": member.epoch,
        "seed": member.seed,
        "model": asdict(member.model.config),
        "training": asdict(member.training),
        "train_tracks": member.train.tolist(),
        "validation_tracks": member.validation.tolist(),
    }


def _completed(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return a saved member's description with default values for settings that did not exist when it was saved."""
    completed = {
        **about,
        "model": asdict(config_of(about["model"])),
        "training": asdict(TrainingConfig(**about["training"])),
    }
    restored: dict[str, Any] = json.loads(json.dumps(completed))
    return restored


def _plain(row: EpochMetrics) -> dict[str, float | None]:
    """Return metrics for JSON, with None instead of NaN, which JSON does not support."""
    return {name: None if math.isnan(value) else value for name, value in asdict(row).items()}
