"""What a search seeks: the validation loss alone, or a trade between quality and what the network costs.

Names: `loss`, the lowest validation loss, mean over folds; `accuracy`, the validation accuracy at that epoch;
`parameters`, the number of trained parameters; `latency`, ms to classify one track on one CPU thread of the trial's
worker, the median of several. With several objectives Optuna takes no intermediate values, so no trial is stopped.
"""

import copy
import statistics
import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from optuna.study import StudyDirection

from raygenre.model import network as networks
from raygenre.model.inference import predict_logits
from raygenre.model.network import GenreCNN
from raygenre.search.space.choices import OBJECTIVES
from raygenre.spectrogram.levels import COLUMNS, N_MELS

DIRECTIONS: dict[str, StudyDirection] = {
    name: StudyDirection.MAXIMIZE if name == "accuracy" else StudyDirection.MINIMIZE for name in OBJECTIVES
}
UNITS: dict[str, str] = {name: " ms" if name == "latency" else "" for name in OBJECTIVES}
PREFIX = "objective_"  # of the values in what a trial reports with its last epoch, and of its metrics in MLflow
_QUALITY = ("loss", "accuracy")
_TIMES, _WARM_UP = 15, 3  # measurements of the latency; the first ones, which also allocate, do not count


def check_objectives(names: Sequence[str], *, scheduler: str) -> None:
    """Refuse objectives that are no trade, and a scheduler for several.

    Raises:
        ValueError: the message says what is possible.
    """
    for name in names:
        if name not in OBJECTIVES:
            raise ValueError(f"objectives must be of {', '.join(OBJECTIVES)}, not {name!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"objectives are named once each, not {', '.join(names)}")
    if not is_multi_objective(names):
        if list(names) != ["loss"]:
            raise ValueError(f"one objective alone is loss, not {', '.join(names) or 'none'}")
        return
    if names[0] not in _QUALITY or any(name in _QUALITY for name in names[1:]):
        raise ValueError(
            f"several objectives begin with loss or accuracy and go on with parameters, latency or both, "
            f"not {', '.join(names)}"
        )
    if scheduler != "none":
        raise ValueError(
            "a search for several objectives stops no trial early, since Optuna takes no intermediate values there; "
            "say --scheduler none, or name one objective"
        )


def is_multi_objective(names: Sequence[str]) -> bool:
    """Whether there is more than one objective."""
    return len(names) > 1


def measure(names: Sequence[str], model: GenreCNN, rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the objectives' values of a trained network with the epochs of its training, keyed for a report."""
    best = min(rows, key=lambda row: row["validation_loss"])
    values: dict[str, float] = {}
    for name in names:
        if name == "loss":
            values[name] = best["validation_loss"]
        elif name == "accuracy":
            values[name] = best["validation_accuracy"]
        elif name == "parameters":
            values[name] = networks.parameters(model)
        else:
            values[name] = latency(model)
    return {PREFIX + name: float(value) for name, value in values.items()}


def latency(model: GenreCNN) -> float:
    """ms to classify one track on one thread of this process's CPU, the median of several measurements."""
    network = copy.deepcopy(model).cpu()
    silence = np.zeros((1, N_MELS, COLUMNS), dtype=np.uint8)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times = []
    try:
        for _ in range(_WARM_UP + _TIMES):
            began = time.perf_counter()
            predict_logits(network, silence)
            times.append(1000 * (time.perf_counter() - began))
    finally:
        torch.set_num_threads(threads)
    return statistics.median(times[_WARM_UP:])
