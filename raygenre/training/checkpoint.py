"""Write down a training between two epochs, and go on from there.

A state is a folder `epoch-NNNN` with `state.safetensors` (weights, optimizer and best validation logits of every
member) and `state.json` (epoch, seeds, settings and the metrics so far). It appears under its name only when it is
complete, so a process that dies at any moment leaves the state before or the state after; in a store, which has no
folders to rename, it is complete once `state.json` is there, which comes last. Random state needs no bytes: it follows
from a member's seed and epoch.
"""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
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

from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.system.location import Location
from raygenre.training.loop import EpochMetrics, Member

_EPOCH = "epoch-"
_BEST_LOGITS = "best_logits"
_TENSORS, _ABOUT = "state.safetensors", "state.json"


def save(folder: Path, members: Sequence[Member], history: Sequence[EpochMetrics]) -> Path:
    """Write the members' state to `folder/epoch-NNNN`, take older states away, and return the path.

    Raises:
        OSError: the disk is full or read-only; the state before is still there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{_EPOCH}{members[0].epoch:04d}"
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=folder))
    tensors: dict[str, Tensor] = {}
    for number, member in enumerate(members):
        for name, tensor in member.model.state_dict().items():
            tensors[f"{number}/model/{name}"] = tensor.detach().contiguous()
        if member.best_logits is not None:
            tensors[f"{number}/{_BEST_LOGITS}"] = member.best_logits
        for index, moments in member.optimizer.state_dict()["state"].items():
            for name, tensor in moments.items():
                tensors[f"{number}/optimizer/{index}/{name}"] = tensor.detach().contiguous()
    # Not by safetensors' own writing, whose error for a full disk is no OSError.
    _write(unfinished / _TENSORS, serialise(tensors))
    about = {"members": [_about(member) for member in members], "history": [_plain(row) for row in history]}
    _write(unfinished / _ABOUT, json.dumps(about, allow_nan=False).encode())
    if target.exists():
        shutil.rmtree(target)
    unfinished.rename(target)
    _flush(folder)  # before the state before is taken away
    for other in folder.iterdir():
        if other != target:
            shutil.rmtree(other, ignore_errors=True)
    return target


@contextmanager
def local_copy(place: Location) -> Iterator[Path]:
    """Give a folder with the newest complete state of a place: its own, or one with a copy, which goes afterwards.

    Raises:
        OSError: the store of the place does not answer.
    """
    if not place.remote:
        yield place.folder
        return
    with tempfile.TemporaryDirectory(prefix="raygenre-state-") as scratch:
        for name in reversed([name for name in place.names() if name.startswith(_EPOCH)]):
            state = place / name
            if _ABOUT in state.names():
                (Path(scratch) / name).mkdir()
                for file in (_TENSORS, _ABOUT):
                    (Path(scratch) / name / file).write_bytes(state.read(file))
                break
        yield Path(scratch)


def upload(path: Path, place: Location) -> None:
    """Have a state that `save` has written last in its place: if that is a store, write it there and take others away.

    Raises:
        OSError: the store does not take it; the state before is still there.
    """
    if not place.remote:
        return
    for file in (_TENSORS, _ABOUT):
        (place / path.name).write(file, (path / file).read_bytes())
    for other in place.names():
        if other != path.name:
            (place / other).remove()


def latest(folder: Path) -> Path | None:
    """Return the newest complete state in a folder that `save` wrote to, if there is one."""
    return max(folder.glob(f"{_EPOCH}*"), default=None)


def restore(path: Path, members: Sequence[Member]) -> list[EpochMetrics]:
    """Bring freshly made members to a saved state, and return the metrics up to it.

    Raises:
        ValueError: the state belongs to other members: another number, seed, setting or set of tracks.
    """
    about = json.loads((path / _ABOUT).read_text())
    mine = [_about(member) | {"epoch": 0} for member in members]
    if [saved | {"epoch": 0} for saved in about["members"]] != json.loads(json.dumps(mine)):
        raise ValueError(f"the training state {path} was saved by a training with other settings or tracks")
    tensors = load_file(path / _TENSORS)
    for number, (member, saved) in enumerate(zip(members, about["members"], strict=True)):
        weights = {name: tensors[f"{number}/model/{name}"].to(member.device) for name in member.model.state_dict()}
        member.model.load_state_dict(weights)
        optimizer = member.optimizer.state_dict()
        optimizer["state"] = {}
        for key, tensor in tensors.items():
            owner, kind, *rest = key.split("/")
            if (owner, kind) == (str(number), "optimizer"):
                optimizer["state"].setdefault(int(rest[0]), {})[rest[1]] = tensor
        member.optimizer.load_state_dict(optimizer)
        for moments in member.optimizer.state.values():
            moments["mu_product"] = moments["mu_product"].cpu()  # where NAdam keeps it, whatever the device
        member.epoch = saved["epoch"]
        member.best_logits = tensors.get(f"{number}/{_BEST_LOGITS}")
    return history(path)


def network(path: Path) -> GenreCNN:
    """Return the first member's network at a saved state."""
    [about, *_] = json.loads((path / _ABOUT).read_text())["members"]
    model = GenreCNN(ModelConfig(**about["model"] | {"widths": tuple(about["model"]["widths"])}))
    prefix = "0/model/"
    tensors = load_file(path / _TENSORS)
    model.load_state_dict({name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)})
    return model


def validation_logits(path: Path, labels: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Return the best logits (N, G) of all members' validation tracks at a saved state, and their labels (N,).

    Args:
        labels: int64 of the whole data set.
    """
    members = json.loads((path / _ABOUT).read_text())["members"]
    tensors = load_file(path / _TENSORS)
    logits = [tensors[f"{number}/{_BEST_LOGITS}"] for number in range(len(members))]
    tracks = [track for member in members for track in member["validation_tracks"]]
    return torch.cat(logits), torch.from_numpy(labels[tracks])


def history(path: Path) -> list[EpochMetrics]:
    """Return the metrics up to a saved state."""
    rows: list[dict[str, Any]] = json.loads((path / _ABOUT).read_text())["history"]
    for row in rows:
        row.update({key: math.nan for key, value in row.items() if value is None})
    return [EpochMetrics(**row) for row in rows]


def _write(path: Path, content: bytes) -> None:
    """Write a file that survives the machine."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    """Have the names in a folder survive the machine."""
    number = os.open(folder, os.O_RDONLY)
    os.fsync(number)
    os.close(number)


def _about(member: Member) -> dict[str, object]:
    return {
        "epoch": member.epoch,
        "seed": member.seed,
        "model": asdict(member.model.config),
        "training": asdict(member.training),
        "train_tracks": member.train.tolist(),
        "validation_tracks": member.validation.tolist(),
    }


def _plain(row: EpochMetrics) -> dict[str, float | None]:
    """A row for JSON, which has no NaN."""
    return {name: None if math.isnan(value) else value for name, value in asdict(row).items()}
