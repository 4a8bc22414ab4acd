"""Optuna's samplers, and the rule by which `auto` chooses one.

What each of them learns from (Optuna 5): TPE from complete and from stopped trials, the Gaussian process and CMA-ES
from complete ones alone. A running trial counts as a bad one for TPE (constant liar) and as a point that is taken for
the Gaussian process; CMA-ES draws each of a generation's points from the same distribution. None of them looks at
failed trials.

`auto` takes the first that holds:

1. random, for budgets that end before a model of the results begins (fewer than `FEWEST` trials);
2. TPE, if trials are stopped early: two thirds of them or more, of which the others would learn nothing;
3. TPE, if the space has choices: to a Gaussian process any two of them are equally unlike, and CMA-ES knows none;
4. the Gaussian process up to `MOST_FOR_GP` trials: on numbers it needs the fewest trials, with one objective or
   several, but its own time grows with their cube. Optuna's own automatic sampler changes at the same number;
5. CMA-ES from `FEWEST_FOR_CMAES` trials with one objective, the budget that Optuna's documentation begins at;
6. TPE otherwise.
"""

from collections.abc import Mapping, Sequence

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler

from raygenre.search.space.choices import SAMPLERS, alternatives
from raygenre.search.space.choices import SamplerName as SamplerName

FEWEST = 5
MOST_FOR_GP = 250
FEWEST_FOR_CMAES = 1000


def choose_sampler(
    *, trials: int, scheduler: str, space: Mapping[str, BaseDistribution], objectives: Sequence[str]
) -> tuple[SamplerName, str]:
    """Choose a sampler by the rule above; return its name and the reason in a few words."""
    if trials < FEWEST:
        return "random", f"{trials} trials are too few to learn from"
    if scheduler != "none":
        return "tpe", "it learns from stopped trials too"
    if any(isinstance(distribution, CategoricalDistribution) for distribution in space.values()):
        return "tpe", "the space has choices"
    if trials <= MOST_FOR_GP:
        return "gp", f"few trials, all of them complete, over {len(space)} numbers"
    if trials >= FEWEST_FOR_CMAES and len(objectives) == 1:
        return "cmaes", "many trials, all of them complete, over numbers alone"
    return "tpe", f"more than {MOST_FOR_GP} trials"


def check_sampler(name: str, space: Mapping[str, BaseDistribution], objectives: Sequence[str]) -> None:
    """Refuse a sampler that cannot do what is asked.

    Raises:
        ValueError: unknown name, or CMA-ES with choices, a single number or several objectives.
    """
    if name not in SAMPLERS:
        raise ValueError(f"unknown sampler {name!r}; expected {alternatives(SAMPLERS)}")
    if name != "cmaes":
        return
    if len(objectives) > 1:
        raise ValueError("the sampler cmaes knows one objective; several need tpe, gp or random")
    choices = [key for key, distribution in space.items() if isinstance(distribution, CategoricalDistribution)]
    if choices:
        raise ValueError(
            f"the sampler cmaes knows ranges of numbers, and {', '.join(choices)} has choices; "
            "give a range or one value, or another sampler"
        )
    if len(space) < 2:
        raise ValueError("the sampler cmaes needs at least two searched numbers; take tpe, gp or random")


def sampler(name: SamplerName, *, seed: int, trials: int, past_trials: int = 0) -> BaseSampler:
    """Make Optuna's sampler.

    Args:
        trials: budget of the study; a third of it, at most ten trials, is drawn at random before TPE or the
            Gaussian process takes over.
        past_trials: trials that the study holds already. A sampler keeps no state, so the seed is moved on by them:
            a resumed study would draw its first settings again.

    Raises:
        ValueError: unknown name.
    """
    at_random = max(3, min(10, trials // 3))
    seed = (seed + 1_000_003 * past_trials) % 2**32
    if name == "tpe":
        return TPESampler(n_startup_trials=at_random, multivariate=True, constant_liar=True, seed=seed)
    if name == "gp":
        return GPSampler(n_startup_trials=at_random, seed=seed)
    if name == "random":
        return RandomSampler(seed=seed)
    if name == "cmaes":
        # A value that stays at its start for the first generation needs no warning.
        return CmaEsSampler(seed=seed, warn_independent_sampling=False)
    raise ValueError(f"unknown sampler {name!r}; expected {alternatives(SAMPLERS)}")
