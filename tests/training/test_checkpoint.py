import itertools
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from raygenre.data.dataset import Dataset
from raygenre.system.atomic_write import UNFINISHED
from raygenre.training import checkpoint
from raygenre.training.config import TrainingConfig
from raygenre.training.loop import EpochMetrics, fit
from raygenre.training.member import Member
from tests.helpers.networks import CPU, SMALL


def new_members(tracks: Dataset, **training: object) -> list[Member]:
    positions = np.arange(len(tracks.tracks), dtype=np.int64)
    config = TrainingConfig(**{"batch_size": 8, "augmentation": "erasing", **training})  # type: ignore[arg-type]
    return [
        Member(SMALL, config, seed=seed, train=positions[::2], validation=positions[1::2], device=CPU)
        for seed in (1, 2)
    ]


def train(tracks: Dataset, group: list[Member], epochs: int) -> list[EpochMetrics]:
    return untimed(fit(tracks.levels, tracks.labels, group, epochs=epochs))


def untimed(rows: Iterable[EpochMetrics]) -> list[EpochMetrics]:
    return [replace(row, seconds=0.0, images_per_second=0.0) for row in rows]


IMPROVED: dict[str, object] = {
    "optimizer": "adamw",
    "weight_decay": 0.1,
    "schedule": "one-cycle",
    "averaging": 0.9,
    "mixup": 0.2,
    "masks": 1,
    "distortion": 1.0,
}


@pytest.mark.parametrize("training", [{}, IMPROVED], ids=["original", "improved"])
def test_resumed_training_gives_the_same_values_bit_for_bit(
    tracks: Dataset, tmp_path: Path, training: dict[str, object]
) -> None:
    def members(tracks: Dataset) -> list[Member]:
        return new_members(tracks, **training)

    uninterrupted = members(tracks)
    expected = train(tracks, uninterrupted, epochs=4)

    interrupted = members(tracks)
    history = list(itertools.islice(fit(tracks.levels, tracks.labels, interrupted, epochs=4), 4))  # two for each member
    path = checkpoint.save(tmp_path, interrupted, untimed(history))
    resumed = members(tracks)
    assert checkpoint.restore(path, resumed) == expected[:4]
    assert train(tracks, resumed, epochs=4) == expected[4:]
    for member, resumed_member in zip(uninterrupted, resumed, strict=True):
        for name, tensor in member.network.state_dict().items():
            assert torch.equal(tensor, resumed_member.network.state_dict()[name]), name


def test_saved_network_has_the_averaged_weights(tracks: Dataset, tmp_path: Path) -> None:
    group = new_members(tracks, averaging=0.9)
    path = checkpoint.save(tmp_path, group, train(tracks, group, epochs=1))
    saved = checkpoint.network(path).state_dict()
    for name, tensor in group[0].network.state_dict().items():
        assert torch.equal(saved[name], tensor)
    assert not torch.equal(saved["classifier.3.weight"], group[0].model.state_dict()["classifier.3.weight"])


def test_checkpoint_from_before_a_setting_existed_is_restored(tracks: Dataset, tmp_path: Path) -> None:
    group = new_members(tracks)
    path = checkpoint.save(tmp_path, group, train(tracks, group, epochs=1))
    about = json.loads((path / "state.json").read_text())
    for saved in about["members"]:
        del saved["training"]["mixup"], saved["model"]["stem"]
    (path / "state.json").write_text(json.dumps(about))
    assert len(checkpoint.restore(path, new_members(tracks))) == 2


def test_only_the_latest_checkpoint_is_kept(tracks: Dataset, tmp_path: Path) -> None:
    group = new_members(tracks)
    assert checkpoint.latest(tmp_path) is None
    for epoch in (1, 2):
        checkpoint.save(tmp_path, group, train(tracks, group, epochs=epoch))
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0002"]
    assert checkpoint.latest(tmp_path) == tmp_path / "epoch-0002"


def test_unfinished_checkpoint_is_ignored(tracks: Dataset, tmp_path: Path) -> None:
    group = new_members(tracks)
    checkpoint.save(tmp_path, group, train(tracks, group, epochs=1))
    unfinished = tmp_path / f"{UNFINISHED}x"
    unfinished.mkdir()
    (unfinished / "state.safetensors").write_bytes(b"half")
    assert checkpoint.latest(tmp_path) == tmp_path / "epoch-0001"


def test_checkpoint_consists_of_safetensors_and_json(tracks: Dataset, tmp_path: Path) -> None:
    group = new_members(tracks)
    path = checkpoint.save(tmp_path, group, train(tracks, group, epochs=1))
    assert sorted(file.name for file in path.iterdir()) == ["state.json", "state.safetensors"]


def test_checkpoint_of_another_training_is_rejected(tracks: Dataset, tmp_path: Path) -> None:
    group = new_members(tracks)
    path = checkpoint.save(tmp_path, group, train(tracks, group, epochs=1))
    with pytest.raises(checkpoint.CheckpointError, match="different settings or tracks"):
        checkpoint.restore(path, new_members(tracks, learning_rate=0.5))
    with pytest.raises(checkpoint.CheckpointError, match="different settings or tracks"):
        checkpoint.restore(path, new_members(tracks)[:1])
