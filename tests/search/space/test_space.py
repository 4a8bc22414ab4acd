import re

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from raygenre.model.head import HeadConfig
from raygenre.model.network import ModelConfig
from raygenre.search.space.space import (
    KINDS,
    WIDTHS,
    Entry,
    Setting,
    SpaceError,
    default_entries,
    default_space,
    fixed_values,
    nearest_point,
    parse_entry,
    to_distributions,
    unknown_name,
)


@pytest.mark.parametrize("epochs", [1, 12, 150])
def test_decay_range_follows_the_epochs(epochs: int) -> None:
    decay = default_space(epochs)["decay"]
    assert isinstance(decay, FloatDistribution)
    assert 1 / (1 + decay.low * epochs) == pytest.approx(1 / 1.1)
    assert 1 / (1 + decay.high * epochs) == pytest.approx(1 / 10)
    assert decay.log


def test_the_default_space_searches_three_values() -> None:
    assert list(default_space(10)) == ["dropout", "learning_rate", "decay"]
    assert set(default_space(10)) < set(KINDS)
    assert fixed_values(default_entries(10)) == {}


def test_the_nearest_point_to_the_default_setting() -> None:
    assert nearest_point(default_space(100)) == {"dropout": 0.3, "learning_rate": 1e-3, "decay": 0.01}
    assert nearest_point(default_space(2)) == {"dropout": 0.3, "learning_rate": 1e-3, "decay": 0.05}
    entries: dict[str, Entry] = {
        "width": {"low": 40, "high": 64},
        "augmentation": ["erasing", "none"],
        "batch_size": [4, 8],
        "dense": 3,
    }
    assert nearest_point(to_distributions(entries)) == {"width": 40, "augmentation": "none", "batch_size": 4}
    assert nearest_point(to_distributions({"dense": {"low": 10, "high": 90, "step": 20}})) == {"dense": 70}


def test_a_setting_configures_network_and_training() -> None:
    setting = Setting(
        width=8, normalisation="batch", dropout=0.1, batch_size=4, augmentation="erasing", precision="float32"
    )
    assert setting.model(3) == ModelConfig(3, widths=(8, 16, 32), normalisation="batch", dropout=0.1)
    assert Setting(network="head", dense=7, dropout=0.2).model(3) == HeadConfig(3, dense=7, dropout=0.2)
    training = setting.training()
    assert (training.batch_size, training.augmentation, training.precision) == (4, "erasing", "float32")
    with pytest.raises(ValueError, match="width must be at least 1, not 0"):
        Setting(width=0)
    with pytest.raises(ValueError, match="network must be cnn or head"):
        Setting(network="tree")  # type: ignore[arg-type]


def test_entries_become_distributions_or_fixed_values() -> None:
    raw = {
        "learning_rate": {"low": "1e-4", "high": 0.01, "log": True},  # YAML reads 1e-4 as a string
        "width": dict(WIDTHS),
        "dense": {"low": 16, "high": 64, "step": 16},
        "batch_size": [8, 16.0],
        "augmentation": ["none", "erasing"],
        "dropout": 0,
    }
    entries = {name: parse_entry(name, entry) for name, entry in raw.items()}
    assert to_distributions(entries) == {
        "learning_rate": FloatDistribution(1e-4, 0.01, log=True),
        "width": IntDistribution(8, 64, log=True),
        "dense": IntDistribution(16, 64, step=16),
        "batch_size": CategoricalDistribution([8, 16]),
        "augmentation": CategoricalDistribution(["none", "erasing"]),
    }
    assert fixed_values(entries) == {"dropout": 0.0}


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("learning_rte", 1.0, "unknown name learning_rte; did you mean learning_rate?"),
        ("zzz", 1.0, "unknown name zzz; expected one of dropout, learning_rate"),
        ("dropout", {"low": 0.1, "hihg": 0.5}, "dropout: unknown name hihg; did you mean high?"),
        ("dropout", {"low": 0.1}, "dropout: a range needs low and high, but lacks high"),
        ("dropout", {"low": 0.5, "high": 0.1}, "low must be less than high, but low is 0.5 and high is 0.1"),
        ("dropout", {"low": 0.1, "high": 1.5}, "dropout: high: dropout must be from 0 to below 1, not 1.5"),
        ("dropout", {"low": 0.0, "high": 0.5, "log": True}, "must start above 0"),
        ("dropout", {"low": 0.1, "high": 0.5, "log": "yes"}, "log must be true or false, not 'yes'"),
        ("dropout", {"low": 0.1, "high": 0.5, "log": True, "step": 0.1}, "log and step cannot be combined"),
        ("dropout", {"low": 0.1, "high": 0.5, "step": 0.9}, "step must be above 0 and fit"),
        ("dropout", [0.1], "at least two different choices"),
        ("dropout", [0.1, 0.1], "at least two different choices"),
        ("dropout", "high", "'high' is not a number"),
        ("dropout", True, "True is not a number"),
        ("dropout", None, "None is not a number"),
        ("dropout", "nan", "dropout must be from 0"),
        ("batch_size", 2.5, "2.5 is not a whole number"),
        ("batch_size", float("inf"), "inf is not a whole number"),
        ("augmentation", {"low": 1, "high": 2}, "a range must be numeric"),
        ("augmentation", ["none", "mixup"], "augmentation must be none or erasing, not 'mixup'"),
        ("augmentation", False, "False is not a string"),
        ("frequency_bins", {"low": 1, "high": 99}, "frequency_bins must be from 1 to 32, not 99"),
    ],
)
def test_an_invalid_entry_is_refused_with_cause_and_fix(name: str, entry: object, message: str) -> None:
    with pytest.raises(SpaceError, match=re.escape(message)):
        parse_entry(name, entry)


def test_an_unknown_name_suggests_the_closest_one() -> None:
    assert unknown_name("epohcs", ["trials", "epochs"]) == "unknown name epohcs; did you mean epochs?"
    assert unknown_name("x", ["trials", "epochs"]) == "unknown name x; expected one of trials, epochs"
