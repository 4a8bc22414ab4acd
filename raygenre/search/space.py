"""What is searched over, and in which way."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

SamplerName = Literal["tpe", "gp", "random"]


@dataclass(frozen=True)
class Setting:
    """The searched values of one trial; the defaults are the setting that the project began with."""

    dropout: float = 0.3
    learning_rate: float = 1e-3
    decay: float = 0.01


def space(epochs: int) -> dict[str, FloatDistribution]:
    """Return the distributions of `Setting`'s values for trainings of so many epochs."""
    return {
        # From none at all to half of the units; beyond that a network this small no longer fits its training tracks.
        "dropout": FloatDistribution(0.0, 0.5),
        # A decade around NAdam's usual 1e-3, shifted down: from 5e-3 on, training without normalisation diverges
        # more often than not. What matters is the ratio, hence the logarithm.
        "learning_rate": FloatDistribution(2e-4, 5e-3, log=True),
        # From hardly any decay to nearly all: the last epoch's learning rate is 91 % to 10 % of the first's.
        "decay": FloatDistribution(0.1 / epochs, 9 / epochs, log=True),
    }


def first_setting(space: Mapping[str, FloatDistribution]) -> Setting:
    """Return the setting that the project began with, or what lies nearest to it in the space."""
    return Setting(
        **{name: min(max(value, space[name].low), space[name].high) for name, value in asdict(Setting()).items()}
    )


def sampler(name: SamplerName, *, seed: int, trials: int, told: int = 0) -> BaseSampler:
    """Make Optuna's sampler.

    Args:
        trials: budget of the study; a third of it, at most ten trials, is drawn at random before TPE or the
            Gaussian process takes over.
        told: trials that the study holds already. A sampler keeps no state, so the seed is moved on by them:
            a resumed study would draw its first settings again.

    Raises:
        ValueError: unknown name.
    """
    at_random = max(3, min(10, trials // 3))
    seed = (seed + 1_000_003 * told) % 2**32
    if name == "tpe":
        return TPESampler(n_startup_trials=at_random, multivariate=True, constant_liar=True, seed=seed)
    if name == "gp":
        return GPSampler(n_startup_trials=at_random, seed=seed)
    if name == "random":
        return RandomSampler(seed=seed)
    raise ValueError(f"unknown sampler {name!r}; expected tpe, gp or random")
