"""Configurations and results survive conversion to Ray Tune's dicts and back."""

import json
from pathlib import Path

from raygenre.data.dataset import Dataset
from raygenre.search.space.samplers import sampler
from raygenre.search.trials.trial_config import TrialConfig
from raygenre.search.trials.trial_result import METRICS, EpochResult, TrialResult
from tests.conftest import new_ledger

EPOCH = EpochResult(2, 0.5, 0.6, 0.7, 0.8, 0.9, 1e-3, 2.0, 10.0)


def test_metrics_are_all_values_with_the_objective_first() -> None:
    assert METRICS[0] == "best_validation_loss"
    assert EPOCH.row == EPOCH.metrics | {"epoch": 2}
    assert list(EPOCH.metrics.values()) == [0.5, 0.6, 0.7, 0.8, 0.9, 1e-3, 2.0, 10.0]


def test_a_result_survives_the_way_through_ray_tune() -> None:
    for result in (
        TrialResult(EPOCH),
        TrialResult(EPOCH, objectives={"objective_accuracy": 0.7}, environment={"device": "cpu"}),
        TrialResult(failure="loss is nan in epoch 2"),
        TrialResult(halt="disk full"),
    ):
        flat = json.loads(json.dumps(result.to_dict()))
        assert TrialResult.from_dict(flat | {"training_iteration": 2, "done": False}) == result
    assert TrialResult.from_dict({}) == TrialResult()


def test_a_config_survives_the_way_through_ray_tune(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    trial = ledger.start_trial(sampler("random", seed=0, trials=3), ledger.config.distributions)
    config = TrialConfig.of(ledger, trial)
    assert TrialConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.setting == ledger.setting(trial.number)
    assert config.state == ledger.checkpoint_location(trial.number)
