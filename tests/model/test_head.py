"""The head on pretrained features: layers, small batches, and reproducible, resumable training."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from raygenre.model.head import GenreHead, HeadConfig
from raygenre.model.inference import predict_logits
from raygenre.model.networks import build, config_of, silence
from raygenre.training import checkpoint
from raygenre.training.config import TrainingConfig
from raygenre.training.loop import EpochMetrics, fit
from raygenre.training.member import Member, fitted
from tests.helpers.networks import CPU

HEAD = HeadConfig(genres=3, features=20, dense=8)
TRACKS = 33  # 17 of them for training: two batches of 8 and one remaining track
LABELS = np.arange(TRACKS, dtype=np.int64) % 3
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "improved": {"schedule": "one-cycle", "averaging": 0.9, "mixup": 0.2, "label_smoothing": 0.1},
}


def features() -> NDArray[np.float32]:
    """Return features (33, 20) with very different scales; the first three indicate the genre."""
    random = np.random.default_rng(0)
    values = random.standard_normal((TRACKS, 20))
    values[:, :3] += 3 * np.eye(3)[LABELS]
    scaled: NDArray[np.float32] = (values * np.logspace(-1, 3, 20) + 50).astype(np.float32)
    scaled.flags.writeable = False  # read-only, like arrays in Ray's object store
    return scaled


def member(seed: int = 0, **training: Any) -> Member:
    config = TrainingConfig(**{"batch_size": 8, "precision": "float32", "optimizer": "adamw", **training})
    positions = np.arange(TRACKS)
    return Member(HEAD, config, seed=seed, train=positions[::2], validation=positions[1::2], device=CPU)


def curve(*members: Member, epochs: int = 4) -> list[EpochMetrics]:
    return untimed(list(fit(features(), LABELS, members, epochs=epochs)))


def untimed(rows: list[EpochMetrics]) -> list[EpochMetrics]:
    return [replace(row, seconds=0.0, images_per_second=0.0) for row in rows]


def test_a_head_learns_features_of_any_scale() -> None:
    rows = curve(member(learning_rate=1e-2), epochs=30)
    assert rows[-1].train_loss < 0.5 * rows[0].train_loss
    assert rows[-1].validation_loss < 1 < rows[0].validation_loss < 4  # guessing gives a loss of 1.1


def test_statistics_fit_the_features_from_the_first_step() -> None:
    """With moving averages and few tracks, the validation loss would be far worse than guessing for many epochs."""
    trained = member(batch_size=17)
    curve(trained, epochs=1)
    trained_on = torch.tensor(features()[::2])
    statistics = trained.model.state_dict()
    torch.testing.assert_close(statistics["normalisation.running_mean"], trained_on.mean(dim=0))
    torch.testing.assert_close(statistics["normalisation.running_var"], trained_on.var(dim=0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("tracks", "sizes"),
    [(16, [8, 8]), (17, [8, 9]), (18, [8, 8, 2]), (9, [9]), (2, [2])],
)
def test_no_batch_has_a_single_track(tracks: int, sizes: list[int]) -> None:
    """The variance of a single track is zero, and the statistics of earlier batches would make early epochs diverge."""
    config = TrainingConfig(batch_size=8)
    trained = Member(HEAD, config, seed=0, train=np.arange(tracks), validation=np.arange(0), device=CPU)
    batches = trained.batches(trained.train)
    assert [len(batch) for batch in batches] == sizes
    assert trained.steps_per_epoch == len(sizes)
    assert np.array_equal(np.concatenate(batches), trained.train)
    list(fit(features(), LABELS, [trained], epochs=1))
    assert trained.model.state_dict()["normalisation.num_batches_tracked"] == len(sizes)


@pytest.mark.parametrize("way", WAYS)
def test_a_resumed_head_has_the_same_values_bit_for_bit(way: str, tmp_path: Path) -> None:
    def members() -> list[Member]:
        return [member(seed, **WAYS[way]) for seed in (1, 2)]

    uninterrupted = members()
    expected = curve(*uninterrupted)
    assert curve(*members()) == expected, "the same seeds produced a different curve"
    assert curve(member(3, **WAYS[way])) != [row for row in expected if row.member == 0]
    interrupted = members()
    history = list(itertools.islice(fit(features(), LABELS, interrupted, epochs=4), 4))  # two for each member
    for trained in interrupted:
        trained.chosen_logits = trained.validation_logits
    path = checkpoint.save(tmp_path, interrupted, untimed(history))
    resumed = members()
    assert checkpoint.restore(path, resumed) == expected[:4]
    assert curve(*resumed) == expected[4:]
    for whole, again in zip(uninterrupted, resumed, strict=True):
        for name, tensor in whole.network.state_dict().items():
            assert torch.equal(tensor, again.network.state_dict()[name]), name


def test_a_head_is_read_from_its_checkpoint(tmp_path: Path) -> None:
    trained = member(averaging=0.9)
    rows = curve(trained, epochs=2)
    trained.chosen_logits = trained.validation_logits
    path = checkpoint.save(tmp_path, [trained], rows)
    network = checkpoint.network(path)
    assert isinstance(network, GenreHead)
    assert torch.equal(predict_logits(network, features()), predict_logits(trained.network, features()))
    logits, labels = checkpoint.validation_logits(path, LABELS)
    assert (logits.shape, labels.tolist()) == ((16, 3), LABELS[1::2].tolist())
    with pytest.raises(checkpoint.CheckpointError, match="different settings or tracks"):
        checkpoint.restore(path, [member(averaging=0.9, learning_rate=0.5)])


def test_logits_hardly_depend_on_the_batch() -> None:
    head = GenreHead(HEAD)
    whole = predict_logits(head, features())
    single = torch.cat([predict_logits(head, features()[i : i + 1]) for i in range(TRACKS)])
    torch.testing.assert_close(whole, single, rtol=1e-4, atol=1e-4)


def test_a_config_fits_its_features_and_survives_json() -> None:
    assert fitted(HeadConfig(genres=3), features(), np.arange(3)) == HeadConfig(genres=3, features=20)
    assert config_of({"genres": 3, "features": 20, "dense": 8, "dropout": 0.3, "network": "head"}) == HEAD
    assert build(HEAD).eval()(torch.from_numpy(silence(HEAD))).shape == (1, 3)


@pytest.mark.parametrize("wrong", [{"genres": 1}, {"features": 0}, {"dense": 0}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_impossible_dimensions_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be "):
        HeadConfig(**wrong)
