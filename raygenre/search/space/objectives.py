"""The objectives of a search: validation loss, or quality traded against cost.

`loss` is the lowest validation loss, averaged over folds; `accuracy` is the validation accuracy in the epoch with that
loss; `parameters` is the number of trainable parameters; `latency` is the median time, in ms, to classify one track on
one CPU thread of the trial's worker. Optuna does not support intermediate values with several objectives, so a search
with several objectives never stops a trial early.
"""

import copy
import statistics
import time
from collections.abc import Mapping, Sequence

import torch
from optuna.study import StudyDirection

from raygenre.model.inference import predict_logits
from raygenre.model.network import parameter_count
from raygenre.model.networks import Network, silence
from raygenre.search.space.choices import OBJECTIVES, ConfigError, alternatives

DIRECTIONS: dict[str, StudyDirection] = {
    name: StudyDirection.MAXIMIZE if name == "accuracy" else StudyDirection.MINIMIZE for name in OBJECTIVES
}
UNITS: dict[str, str] = {name: " ms" if name == "latency" else "" for name in OBJECTIVES}
PREFIX = "objective_"  # prefix of objective names in a trial's last report and in MLflow metrics
_QUALITY = ("loss", "accuracy")
_RUNS, _WARM_UP_RUNS = 15, 3  # for measuring the latency; warm-up runs also allocate memory, so they do not count


def check_objectives(names: Sequence[str], *, scheduler: str) -> None:
    """Check that a search's objectives are valid, and that its scheduler supports them.

    Raises:
        ConfigError: an objective is unknown, repeated or unsuitable, or a scheduler is used with several objectives.
    """
    for name in names:
        if name not in OBJECTIVES:
            raise ConfigError(f"an objective must be {alternatives(OBJECTIVES)}, not {name!r}")
    if len(set(names)) < len(names):
        raise ConfigError(f"objectives must differ, not {', '.join(names)}")
    if not is_multi_objective(names):
        if list(names) != ["loss"]:
            raise ConfigError(f"a single objective must be loss, not {', '.join(names) or 'none'}")
        return
    if names[0] not in _QUALITY or any(name in _QUALITY for name in names[1:]):
        raise ConfigError(
            "several objectives must start with loss or accuracy, followed by parameters, latency or both, "
            f"not {', '.join(names)}"
        )
    if scheduler != "none":
        raise ConfigError(
            "a search with several objectives cannot stop trials early, because Optuna supports no intermediate values "
            "for them; use --scheduler none or a single objective"
        )


def is_multi_objective(names: Sequence[str]) -> bool:
    """Return whether there is more than one objective."""
    return len(names) > 1


def measure(names: Sequence[str], model: Network, rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the values of the objectives for a trained network; each key is an objective's prefixed name.

    Args:
        rows: metrics of each training epoch.
    """
    best = min(rows, key=lambda row: row["validation_loss"])
    values: dict[str, float] = {}
    for name in names:
        if name == "loss":
            values[name] = best["validation_loss"]
        elif name == "accuracy":
            values[name] = best["validation_accuracy"]
        elif name == "parameters":
            values[name] = parameter_count(model)
        else:
            values[name] = latency(model)
    return {PREFIX + name: float(value) for name, value in values.items()}


def latency(model: Network) -> float:
    """Measure the time to classify one track on one CPU thread of this process; return the median in ms."""
    network = copy.deepcopy(model).cpu()
    track = silence(network.config)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times = []
    try:
        for _ in range(_WARM_UP_RUNS + _RUNS):
            started = time.perf_counter()
            predict_logits(network, track)
            times.append(1000 * (time.perf_counter() - started))
    finally:
        torch.set_num_threads(threads)
    return statistics.median(times[_WARM_UP_RUNS:])
