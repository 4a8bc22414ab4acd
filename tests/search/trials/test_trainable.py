from pathlib import Path

import numpy as np
import pytest
import torch

from raygenre.data.dataset import Dataset
from raygenre.search.space.space import Setting
from raygenre.search.trials.trainable import OBJECTIVE, Plan, Tracks, start, summary, train
from raygenre.system.location import Location
from raygenre.training import checkpoint
from raygenre.training.loop import EpochMetrics

SETTING = Setting(batch_size=8, width=8)
PLAN = Plan(genres=3, epochs=3, threads=1, device="cpu")


def shared(tracks: Dataset, folds: int = 2) -> Tracks:
    everything = np.arange(len(tracks.tracks), dtype=np.int64)
    parts = tuple((everything[everything % 3 != fold], everything[everything % 3 == fold]) for fold in range(folds))
    return Tracks(tracks.levels, tracks.labels, parts)


def run(tracks: Tracks, folder: Path, epochs: int = 3) -> list[dict[str, float]]:
    return list(train(start(PLAN, SETTING, tracks, seed=1), tracks, epochs=epochs, place=Location(str(folder))))


def timeless(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: row[key] for key in row if key not in ("seconds", "images_per_second")} for row in rows]


def test_a_trial_goes_on_from_its_folder_and_tells_the_epochs_before_again(tracks: Dataset, tmp_path: Path) -> None:
    whole = run(shared(tracks), tmp_path / "whole")
    before = run(shared(tracks), tmp_path / "halves", epochs=2)
    after = run(shared(tracks), tmp_path / "halves")
    assert timeless(after) == timeless(whole)
    assert after[:2] == before  # times too: told from the record, not trained again


def test_the_state_is_there_before_an_epoch_is_told(tracks: Dataset, tmp_path: Path) -> None:
    data = shared(tracks)
    rows = train(start(PLAN, SETTING, data, seed=1), data, epochs=3, place=Location(str(tmp_path)))
    assert next(rows)["epoch"] == 1
    assert checkpoint.latest(tmp_path) == tmp_path / "epoch-0001"


def test_the_state_keeps_the_predictions_of_the_best_epoch(tracks: Dataset, tmp_path: Path) -> None:
    """Without decay, this learning rate makes the fourth epoch worse than the third."""
    data, spoiled = shared(tracks), Setting(learning_rate=0.02, decay=0.0, width=8)
    folder = tmp_path / "whole"
    best: list[torch.Tensor] = []
    members = start(PLAN, spoiled, data, seed=1)
    rows = []
    for row in train(members, data, epochs=4, place=Location(str(folder))):
        rows.append(row)
        if row["validation_loss"] == row[OBJECTIVE]:
            best = [member.validation_logits for member in members if member.validation_logits is not None]
    assert min(rows, key=lambda row: row["validation_loss"])["epoch"] < 4
    state = checkpoint.latest(folder)
    assert state is not None
    logits, labels = checkpoint.validation_logits(state, tracks.labels)
    assert torch.equal(logits, torch.cat(best))
    assert labels.tolist() == [tracks.labels[i] for _, validation in data.folds for i in validation]

    list(train(start(PLAN, spoiled, data, seed=1), data, epochs=3, place=Location(str(tmp_path / "halves"))))
    list(train(start(PLAN, spoiled, data, seed=1), data, epochs=4, place=Location(str(tmp_path / "halves"))))
    resumed = checkpoint.latest(tmp_path / "halves")
    assert resumed is not None
    assert torch.equal(checkpoint.validation_logits(resumed, tracks.labels)[0], logits)


def test_the_objective_is_the_lowest_mean_over_folds() -> None:
    def row(loss: float) -> EpochMetrics:
        return EpochMetrics(0, 1, 1.0, 0.5, loss, 0.5, 1e-3, 2.0, 10.0)

    first = summary([row(0.4), row(0.8)], float("inf"))
    assert first["validation_loss"] == first[OBJECTIVE] == pytest.approx(0.6)
    second = summary([row(0.9), row(0.7)], first[OBJECTIVE])
    assert second["validation_loss"] == pytest.approx(0.8)
    assert second[OBJECTIVE] == first[OBJECTIVE]
    assert second["seconds"] == 4


def test_folds_have_seeds_and_standardisation_of_their_own(tracks: Dataset) -> None:
    one, two = start(PLAN, SETTING, shared(tracks), seed=7)
    assert (one.seed, two.seed) == (7, 8)
    assert one.model.config.level_mean != two.model.config.level_mean
