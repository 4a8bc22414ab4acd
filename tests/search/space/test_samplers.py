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


def asked(name: SamplerName, seed: int, past_trials: int = 0) -> list[dict[str, float]]:
    study = optuna.create_study(sampler=sampler(name, seed=seed, trials=9, past_trials=past_trials))
    return [study.ask(dict(NUMBERS)).params for _ in range(3)]


@pytest.mark.parametrize("name", SAMPLERS)
def test_same_seed_same_settings_other_seed_others(name: SamplerName) -> None:
    assert asked(name, 1) == asked(name, 1)
    assert asked(name, 1) != asked(name, 2)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_resumed_study_does_not_draw_its_first_settings_again(name: SamplerName) -> None:
    assert asked(name, 1, past_trials=3) != asked(name, 1)


def test_samplers_have_their_names() -> None:
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
def test_auto_chooses_by_the_budget_and_the_space(changes: dict[str, object], expected: str) -> None:
    usual = {"trials": 20, "scheduler": "none", "space": NUMBERS, "objectives": ["loss"]}
    name, reason = choose_sampler(**usual | changes)  # type: ignore[arg-type]
    assert name == expected
    assert reason


@pytest.mark.parametrize(
    ("name", "over", "objectives", "message"),
    [
        ("grid", NUMBERS, ["loss"], "unknown sampler 'grid'"),
        ("cmaes", CHOICES, ["loss"], "batch_size has choices"),
        ("cmaes", NUMBERS, ["loss", "latency"], "supports one objective; use tpe, gp or random for several"),
        ("cmaes", to_distributions({"dropout": {"low": 0.1, "high": 0.2}}), ["loss"], "at least two searched numbers"),
    ],
)
def test_a_sampler_that_cannot_do_it_is_refused(
    name: str, over: dict[str, optuna.distributions.BaseDistribution], objectives: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        check_sampler(name, over, objectives)


def loss(trial: FrozenTrial) -> float:
    return float((trial.params["dropout"] - 0.2) ** 2)


@pytest.mark.parametrize("name", SAMPLERS)
def test_trials_that_run_at_once_differ_and_are_known_as_running(name: SamplerName) -> None:
    """Four asked for before any is told, after the sampler has begun to learn."""
    study = optuna.create_study(sampler=sampler(name, seed=0, trials=12))
    for _ in range(5):
        trial = study.ask(dict(NUMBERS))
        study.tell(trial, loss(study.trials[trial.number]))
    together = [study.ask(dict(NUMBERS)) for _ in range(4)]
    states = [study.trials[trial.number].state for trial in together]
    assert states == [TrialState.RUNNING] * 4
    points = [tuple(trial.params.values()) for trial in together]
    for i, point in enumerate(points):
        for other in points[:i]:
            assert point != pytest.approx(other, rel=0.01)


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_a_model_counts_running_trials(name: SamplerName) -> None:
    """The same history and seed: another point is proposed when several trials are at the first one."""
    dropout = {"dropout": NUMBERS["dropout"]}
    proposals: list[float] = []
    for _ in range(2):
        study = optuna.create_study()
        for value in (0.0, 0.1, 0.2, 0.25, 0.4, 0.5):
            known = {"params": {"dropout": value}, "distributions": dropout, "value": (value - 0.22) ** 2}
            study.add_trial(optuna.trial.create_trial(**known))  # type: ignore[arg-type]
        for value in proposals * 8:
            study.enqueue_trial({"dropout": value})
            study.ask(dropout)
        study.sampler = sampler(name, seed=0, trials=9)
        proposals.append(study.ask(dropout).params["dropout"])
    assert proposals[0] != pytest.approx(proposals[1], abs=1e-4)
