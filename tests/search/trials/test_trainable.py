from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from raygenre.data.dataset import Dataset
from raygenre.model.network import ModelConfig
from raygenre.search.space.space import Setting
from raygenre.search.trials.finalists import chosen_epoch
from raygenre.search.trials.trainable import Plan, Tracks, make_members, merge_folds, train
from raygenre.search.trials.trial_result import EpochResult
from raygenre.system.location import Location
from raygenre.training import checkpoint
from raygenre.training.divergence import DivergedError
from raygenre.training.loop import EpochMetrics

SETTING = Setting(batch_size=8, width=8)
PLAN = Plan(genres=3, epochs=3, threads=1, device="cpu")


def shared(tracks: Dataset, folds: int = 2) -> Tracks:
    everything = np.arange(len(tracks.tracks), dtype=np.int64)
    parts = tuple((everything[everything % 3 != fold], everything[everything % 3 == fold]) for fold in range(folds))
    return Tracks(tracks.levels, tracks.labels, parts)


def run(tracks: Tracks, folder: Path, *, setting: Setting = SETTING, epochs: int = 3) -> list[EpochResult]:
    members = make_members(PLAN, setting, tracks, seed=1)
    return list(train(members, tracks, epochs=epochs, location=Location(str(folder))))


def timeless(results: list[EpochResult]) -> list[EpochResult]:
    return [replace(result, seconds=0, images_per_second=0) for result in results]


def test_a_resumed_training_repeats_its_recorded_epochs(tracks: Dataset, tmp_path: Path) -> None:
    whole = run(shared(tracks), tmp_path / "whole")
    before = run(shared(tracks), tmp_path / "halves", epochs=2)
    after = run(shared(tracks), tmp_path / "halves")
    assert timeless(after) == timeless(whole)
    assert after[:2] == before  # including the times, which are read from the state rather than measured again


def test_the_state_is_saved_before_an_epoch_is_yielded(tracks: Dataset, tmp_path: Path) -> None:
    data = shared(tracks)
    members = make_members(PLAN, SETTING, data, seed=1)
    results = train(members, data, epochs=3, location=Location(str(tmp_path)))
    assert next(results).epoch == 1
    assert checkpoint.latest(tmp_path) == tmp_path / "epoch-0001"


def test_the_state_keeps_the_predictions_of_the_best_epoch(tracks: Dataset, tmp_path: Path) -> None:
    """Without decay, this learning rate makes the fourth epoch worse than the third."""
    data, spoiled = shared(tracks), Setting(learning_rate=0.02, decay=0.0, width=8)
    folder = tmp_path / "whole"
    best: list[torch.Tensor] = []
    members = make_members(PLAN, spoiled, data, seed=1)
    results = []
    for result in train(members, data, epochs=4, location=Location(str(folder))):
        results.append(result)
        if result.validation_loss == result.best_validation_loss:
            best = [member.validation_logits for member in members if member.validation_logits is not None]
    assert min(results, key=lambda result: result.validation_loss).epoch < 4
    state = checkpoint.latest(folder)
    assert state is not None
    logits, labels = checkpoint.validation_logits(state, tracks.labels)
    assert torch.equal(logits, torch.cat(best))
    assert labels.tolist() == [tracks.labels[i] for _, validation in data.folds for i in validation]

    run(data, tmp_path / "halves", setting=spoiled, epochs=3)
    run(data, tmp_path / "halves", setting=spoiled, epochs=4)
    resumed = checkpoint.latest(tmp_path / "halves")
    assert resumed is not None
    assert torch.equal(checkpoint.validation_logits(resumed, tracks.labels)[0], logits)


def test_a_falling_learning_rate_chooses_the_last_epoch(tracks: Dataset, tmp_path: Path) -> None:
    """This learning rate is so high that the loss rises again after a few epochs."""
    setting = Setting(learning_rate=0.05, batch_size=8, width=8, schedule="one-cycle", precision="float32")
    data = shared(tracks, folds=1)
    [member] = make_members(PLAN, setting, data, seed=2)
    results = list(train([member], data, epochs=8, location=Location(str(tmp_path))))
    assert results[-1].validation_loss > results[-1].best_validation_loss
    assert member.chosen_logits is member.validation_logits
    assert chosen_epoch(results, setting.training()).epoch == 8
    assert chosen_epoch(results, SETTING.training()).validation_loss == results[-1].best_validation_loss


def test_the_objective_is_the_lowest_mean_over_folds() -> None:
    def fold(loss: float) -> EpochMetrics:
        return EpochMetrics(0, 1, 1.0, 0.5, loss, 0.5, 1e-3, 2.0, 10.0)

    first = EpochResult.of([fold(0.4), fold(0.8)], float("inf"))
    assert first.validation_loss == first.best_validation_loss == pytest.approx(0.6)
    second = EpochResult.of([fold(0.9), fold(0.7)], first.best_validation_loss)
    assert second.validation_loss == pytest.approx(0.8)
    assert second.best_validation_loss == first.best_validation_loss
    assert second.seconds == 4


def test_each_fold_has_its_own_seed_and_standardisation(tracks: Dataset) -> None:
    first, second = make_members(PLAN, SETTING, shared(tracks), seed=7)
    assert (first.seed, second.seed) == (7, 8)
    assert isinstance(first.model.config, ModelConfig)
    assert isinstance(second.model.config, ModelConfig)
    assert first.model.config.level_mean != second.model.config.level_mean


@pytest.mark.parametrize("folds", [1, 0])
def test_training_that_ends_far_above_guessing_has_failed(tracks: Dataset, tmp_path: Path, folds: int) -> None:
    """Without validation tracks, as in the final training, the training loss is compared with that of guessing."""
    data = shared(tracks, folds=1) if folds else merge_folds(shared(tracks, folds=1))
    with pytest.raises(DivergedError, match=r"loss is \S{1,9} after 1 epochs, more than 10 times that of guessing"):
        run(data, tmp_path, setting=replace(SETTING, learning_rate=1e3), epochs=1)
    assert checkpoint.latest(tmp_path) is None
