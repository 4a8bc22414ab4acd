import re

import optuna
import pytest
from optuna.samplers import CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from raygenre.search.space.choices import SAMPLERS
from raygenre.search.space.samplers import SamplerName, check_sampler, choose_sampler, sampler
from raygenre.search.space.space import default_entries, default_space, to_distributions

NUMBERS = default_space(10)
CHOICES = to_distributions(default_entries(10) | {"batch_size": [8, 16]})


def first_settings(name: SamplerName, seed: int, past_trials: int = 0) -> list[dict[str, float]]:
    study = optuna.create_study(sampler=sampler(name, seed=seed, trials=9, past_trials=past_trials))
    return [study.ask(dict(NUMBERS)).params for _ in range(3)]


@pytest.mark.parametrize("name", SAMPLERS)
def test_settings_depend_on_the_seed(name: SamplerName) -> None:
    assert first_settings(name, 1) == first_settings(name, 1)
    assert first_settings(name, 1) != first_settings(name, 2)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_resumed_study_draws_new_settings(name: SamplerName) -> None:
    assert first_settings(name, 1, past_trials=3) != first_settings(name, 1)


def test_names_map_to_samplers() -> None:
    kinds = {name: type(sampler(name, seed=0, trials=20)) for name in ("tpe", "random", "gp", "cmaes")}
    assert kinds == {"tpe": TPESampler, "random": RandomSampler, "gp": GPSampler, "cmaes": CmaEsSampler}
    with pytest.raises(ValueError, match="unknown sampler 'grid'; expected tpe, gp, random or cmaes"):
        sampler("grid", seed=0, trials=20)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"trials": 4}, "random"),
        ({"scheduler": "asha"}, "tpe"),
        ({"scheduler": "median"}, "tpe"),
        ({}, "gp"),
        ({"trials": 250}, "gp"),
        ({"space": CHOICES}, "tpe"),
        ({"trials": 251}, "tpe"),
        ({"trials": 1000}, "cmaes"),
        ({"objectives": ["loss", "parameters"]}, "gp"),
        ({"objectives": ["loss", "parameters"], "trials": 1000}, "tpe"),
    ],
)
def test_auto_chooses_by_budget_and_space(changes: dict[str, object], expected: str) -> None:
    defaults = {"trials": 20, "scheduler": "none", "space": NUMBERS, "objectives": ["loss"]}
    name, reason = choose_sampler(**defaults | changes)  # type: ignore[arg-type]
    assert name == expected
    assert reason


@pytest.mark.parametrize(
    ("name", "distributions", "objectives", "message"),
    [
        ("grid", NUMBERS, ["loss"], "unknown sampler 'grid'"),
        ("cmaes", CHOICES, ["loss"], "batch_size has choices"),
        ("cmaes", NUMBERS, ["loss", "latency"], "supports only one objective; use tpe, gp or random for several"),
        ("cmaes", to_distributions({"dropout": {"low": 0.1, "high": 0.2}}), ["loss"], "two numeric parameters"),
    ],
)
def test_an_unsuitable_sampler_is_refused(
    name: str, distributions: dict[str, optuna.distributions.BaseDistribution], objectives: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        check_sampler(name, distributions, objectives)


def loss(trial: FrozenTrial) -> float:
    return float((trial.params["dropout"] - 0.2) ** 2)


@pytest.mark.parametrize("name", SAMPLERS)
def test_concurrent_trials_differ(name: SamplerName) -> None:
    """Four trials start before any of them ends, after the sampler has learned from earlier trials."""
    study = optuna.create_study(sampler=sampler(name, seed=0, trials=12))
    for _ in range(5):
        trial = study.ask(dict(NUMBERS))
        study.tell(trial, loss(study.trials[trial.number]))
    concurrent = [study.ask(dict(NUMBERS)) for _ in range(4)]
    states = [study.trials[trial.number].state for trial in concurrent]
    assert states == [TrialState.RUNNING] * 4
    points = [tuple(trial.params.values()) for trial in concurrent]
    for i, point in enumerate(points):
        for earlier in points[:i]:
            assert point != pytest.approx(earlier, rel=0.01)


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_a_sampler_takes_running_trials_into_account(name: SamplerName) -> None:
    """Given the same history and seed, the sampler proposes another point if running trials already use the first."""
    dropout = {"dropout": NUMBERS["dropout"]}
    proposals: list[float] = []
    for _ in range(2):
        study = optuna.create_study()
        for value in (0.0, 0.1, 0.2, 0.25, 0.4, 0.5):
            past = {"params": {"dropout": value}, "distributions": dropout, "value": (value - 0.22) ** 2}
            study.add_trial(optuna.trial.create_trial(**past))  # type: ignore[arg-type]
        for value in proposals * 8:
            study.enqueue_trial({"dropout": value})
            study.ask(dropout)
        study.sampler = sampler(name, seed=0, trials=9)
        proposals.append(study.ask(dropout).params["dropout"])
    assert proposals[0] != pytest.approx(proposals[1], abs=1e-4)
