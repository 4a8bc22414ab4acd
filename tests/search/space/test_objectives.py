import re

import pytest

from raygenre.model.network import GenreCNN, ModelConfig, parameter_count
from raygenre.search.space.objectives import check_objectives, is_multi_objective, latency, measure

SMALL = GenreCNN(ModelConfig(genres=3, widths=(4, 8, 16), dense=8))
LARGE = GenreCNN(ModelConfig(genres=3, widths=(64, 128, 256)))
ROWS = [
    {"validation_loss": 0.9, "validation_accuracy": 0.5},
    {"validation_loss": 0.5, "validation_accuracy": 0.7},
    {"validation_loss": 0.8, "validation_accuracy": 0.9},
]


def test_values_are_from_the_best_epoch_and_the_network() -> None:
    names = ["accuracy", "parameters", "latency"]
    values = measure(names, SMALL, ROWS)
    assert list(values) == ["objective_accuracy", "objective_parameters", "objective_latency"]
    assert values["objective_accuracy"] == 0.7
    assert values["objective_parameters"] == parameter_count(SMALL)
    assert values["objective_latency"] > 0
    assert measure(["loss", "parameters"], SMALL, ROWS)["objective_loss"] == 0.5


def test_latency_grows_with_the_network_and_keeps_its_mode() -> None:
    SMALL.train()
    assert latency(SMALL) < latency(LARGE) / 4
    assert SMALL.training


@pytest.mark.parametrize(
    ("names", "scheduler", "message"),
    [
        (["loss", "speed"], "none", "must be loss, accuracy, parameters or latency, not 'speed'"),
        (["accuracy"], "none", "a single objective must be loss, not accuracy"),
        (["loss", "accuracy"], "none", "must start with loss or accuracy, followed by parameters, latency or both"),
        (["parameters", "loss"], "none", "must start with loss or accuracy"),
        (["loss", "parameters", "parameters"], "none", "objectives must differ"),
        (["loss", "parameters"], "asha", "use --scheduler none or a single objective"),
        (["accuracy", "latency"], "median", "use --scheduler none"),
    ],
)
def test_invalid_objectives_are_refused(names: list[str], scheduler: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        check_objectives(names, scheduler=scheduler)


def test_single_and_multiple_objectives() -> None:
    check_objectives(["loss"], scheduler="asha")
    check_objectives(["accuracy", "parameters", "latency"], scheduler="none")
    assert not is_multi_objective(["loss"])
    assert is_multi_objective(["loss", "parameters"])
