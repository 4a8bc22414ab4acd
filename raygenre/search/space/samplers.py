"""Optuna's samplers, and how `auto` chooses one.

In Optuna 5, TPE learns from complete and pruned trials, the Gaussian process and CMA-ES learn only from complete
trials, and no sampler learns from failed trials. TPE treats a running trial as a bad result (constant liar), and the
Gaussian process treats it as an occupied point; CMA-ES draws every point of a generation from the same distribution.

`auto` chooses the first sampler whose condition holds:

1. random, for fewer than `MIN_MODEL_TRIALS` trials, which are too few for a model of the results to help;
2. TPE, if trials are stopped early: often two thirds or more are stopped, and other samplers learn nothing from them;
3. TPE, if the space has choices: a Gaussian process treats any two choices as equally different, and CMA-ES does not
   support choices;
4. the Gaussian process, for up to `MAX_GP_TRIALS` trials: for numeric parameters it needs the fewest trials,
   whether there is one objective or several, but its computing time grows with the cube of the number of trials.
   Optuna's automatic sampler uses the same limit;
5. CMA-ES, for one objective and at least `MIN_CMAES_TRIALS` trials, the smallest budget that Optuna's
   documentation recommends for it;
6. TPE otherwise.
"""

from collections.abc import Mapping, Sequence

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler

from raygenre.search.space.choices import SAMPLERS, ConfigError, alternatives
from raygenre.search.space.choices import SamplerName as SamplerName

MIN_MODEL_TRIALS = 5
MAX_GP_TRIALS = 250
MIN_CMAES_TRIALS = 1000


def choose_sampler(
    *, trials: int, scheduler: str, space: Mapping[str, BaseDistribution], objectives: Sequence[str]
) -> tuple[SamplerName, str]:
    """Choose a sampler as described above; return its name and the reason in a few words."""
    if trials < MIN_MODEL_TRIALS:
        return "random", f"{trials} trials are too few to learn from"
    if scheduler != "none":
        return "tpe", "it learns from stopped trials too"
    if any(isinstance(distribution, CategoricalDistribution) for distribution in space.values()):
        return "tpe", "the space has choices"
    if trials <= MAX_GP_TRIALS:
        return "gp", f"few trials, none stopped early, and {len(space)} numeric parameters"
    if trials >= MIN_CMAES_TRIALS and len(objectives) == 1:
        return "cmaes", "many trials, none stopped early, and only numeric parameters"
    return "tpe", f"more than {MAX_GP_TRIALS} trials"


def check_sampler(name: str, space: Mapping[str, BaseDistribution], objectives: Sequence[str]) -> None:
    """Check that a sampler supports a search's space and objectives.

    Raises:
        ConfigError: the name is unknown, or CMA-ES is used with choices, a single parameter or several objectives.
    """
    if name not in SAMPLERS:
        raise ConfigError(f"unknown sampler {name!r}; expected {alternatives(SAMPLERS)}")
    if name != "cmaes":
        return
    if len(objectives) > 1:
        raise ConfigError("the cmaes sampler supports only one objective; use tpe, gp or random for several")
    choices = [key for key, distribution in space.items() if isinstance(distribution, CategoricalDistribution)]
    if choices:
        raise ConfigError(
            f"the cmaes sampler supports only numeric ranges, but {', '.join(choices)} has choices; "
            "use a range or a fixed value, or another sampler"
        )
    if len(space) < 2:
        raise ConfigError("the cmaes sampler needs a space of at least two numeric parameters; use tpe, gp or random")


def sampler(name: SamplerName, *, seed: int, trials: int, past_trials: int = 0) -> BaseSampler:
    """Create the Optuna sampler with this name.

    Args:
        trials: number of trials in the study. A third of them, but at least 3 and at most 10, get random settings
            before TPE or the Gaussian process takes over.
        past_trials: number of trials that the study already has. This number is part of the seed. Otherwise, the
            sampler of a resumed study, which starts without any state, would repeat the study's first settings.

    Raises:
        ValueError: the name is unknown.
    """
    random_trials = max(3, min(10, trials // 3))
    seed = (seed + 1_000_003 * past_trials) % 2**32
    if name == "tpe":
        return TPESampler(n_startup_trials=random_trials, multivariate=True, constant_liar=True, seed=seed)
    if name == "gp":
        return GPSampler(n_startup_trials=random_trials, seed=seed)
    if name == "random":
        return RandomSampler(seed=seed)
    if name == "cmaes":
        # Values of the first generation are sampled independently, as intended, so the warning is switched off.
        return CmaEsSampler(seed=seed, warn_independent_sampling=False)
    raise ValueError(f"unknown sampler {name!r}; expected {alternatives(SAMPLERS)}")
