"""Optuna's samplers, and how `auto` chooses one.

What they learn from (Optuna 5): TPE from complete and pruned trials, the Gaussian process and CMA-ES from complete
trials only, none of them from failed trials. A running trial counts as a bad result for TPE (constant liar) and as an
occupied point for the Gaussian process; CMA-ES draws every point of a generation from the same distribution.

`auto` takes the first sampler whose condition holds:

1. random, for fewer than `MIN_MODEL_TRIALS` trials, which end before a model of the results is of use;
2. TPE, if trials are stopped early: often two thirds or more of them, from which the others would learn nothing;
3. TPE, if the space has choices: for a Gaussian process any two choices are equally different, and CMA-ES has none;
4. the Gaussian process, for up to `MAX_GP_TRIALS` trials: on numbers it needs the fewest trials, with one objective or
   several, but its own time grows with the cube of their number. Optuna's automatic sampler uses the same limit;
5. CMA-ES, from `MIN_CMAES_TRIALS` trials with one objective, the smallest budget in Optuna's documentation;
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
        return "gp", f"few trials, all of them complete, and {len(space)} numbers to search"
    if trials >= MIN_CMAES_TRIALS and len(objectives) == 1:
        return "cmaes", "many trials, all of them complete, and only numbers to search"
    return "tpe", f"more than {MAX_GP_TRIALS} trials"


def check_sampler(name: str, space: Mapping[str, BaseDistribution], objectives: Sequence[str]) -> None:
    """Check that a sampler supports a space and objectives.

    Raises:
        ConfigError: unknown name, or CMA-ES with choices, a single number or several objectives.
    """
    if name not in SAMPLERS:
        raise ConfigError(f"unknown sampler {name!r}; expected {alternatives(SAMPLERS)}")
    if name != "cmaes":
        return
    if len(objectives) > 1:
        raise ConfigError("the sampler cmaes supports one objective; use tpe, gp or random for several")
    choices = [key for key, distribution in space.items() if isinstance(distribution, CategoricalDistribution)]
    if choices:
        raise ConfigError(
            f"the sampler cmaes supports only ranges of numbers, but {', '.join(choices)} has choices; "
            "give a range or a fixed value, or use another sampler"
        )
    if len(space) < 2:
        raise ConfigError("the sampler cmaes needs at least two searched numbers; use tpe, gp or random")


def sampler(name: SamplerName, *, seed: int, trials: int, past_trials: int = 0) -> BaseSampler:
    """Create Optuna's sampler.

    Args:
        trials: number of trials of the study. A third of them, from 3 to 10, are drawn at random before TPE or the
            Gaussian process starts.
        past_trials: number of trials that the study already has. A sampler stores no state, so the seed depends on
            this number; otherwise a resumed study would draw its first settings again.

    Raises:
        ValueError: unknown name.
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
        # The first generation samples values independently, which needs no warning.
        return CmaEsSampler(seed=seed, warn_independent_sampling=False)
    raise ValueError(f"unknown sampler {name!r}; expected {alternatives(SAMPLERS)}")
