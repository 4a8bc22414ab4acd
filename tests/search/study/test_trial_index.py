"""The index of a study's trials agrees with a scan of all trials while they change in any order."""

from pathlib import Path
from typing import Any

import optuna
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState

from raygenre.data.dataset import Dataset
from raygenre.search.space.samplers import sampler
from raygenre.search.study import ranking
from raygenre.search.study.ledger import Ledger, losses
from raygenre.search.study.trial_attributes import CHECKPOINT, is_own
from raygenre.search.study.trial_index import TrialIndex
from tests.conftest import new_ledger

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["start", "finish", "prune", "fail", "foreign", "foreign ends", "enqueue"]),
        st.integers(0, 5),
    ),
    max_size=14,
)


def act(ledger: Ledger, step: str, choice: int) -> None:
    running = [trial for trial in ledger.study.get_trials(deepcopy=False) if trial.state == TrialState.RUNNING]
    mine = [trial.number for trial in running if is_own(trial)]
    theirs = [trial.number for trial in running if not is_own(trial)]
    if step == "start":
        ledger.start_trial(sampler("random", seed=0, trials=9), ledger.config.distributions)
    elif step == "foreign":
        ledger.study.ask()
    elif step == "enqueue":
        ledger.study.enqueue_trial({"dropout": 0.1})
    elif step == "foreign ends" and theirs:
        ledger.study.tell(theirs[choice % len(theirs)], 0.1)
    elif step in ("finish", "prune", "fail") and mine:
        number = mine[choice % len(mine)]
        for epoch in (1,) if step == "prune" else (1, 2):
            ledger.report(number, epoch=epoch, loss=choice / 10 + 0.1)
        ledger.finish(number, failure="diverged" if step == "fail" else None)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_an_index_has_what_the_study_has(tracks: Dataset, tmp_path: Path, steps: list[tuple[str, int]]) -> None:
    ledger = new_ledger(tmp_path, tracks, f"study-{len(list(tmp_path.iterdir()))}", trials=99)
    for step, choice in steps:
        act(ledger, step, choice)
        trials = ledger.study.get_trials(deepcopy=False)
        own = [trial for trial in trials if is_own(trial)]
        best = ranking.by_loss(ranking.complete(own, epochs=2))
        assert ledger.trials == own
        assert sorted(trial.number for trial in ledger.others) == sorted(
            trial.number for trial in trials if not is_own(trial)
        )
        assert {trial.number: trial.state for trial in ledger.others}.items() <= {
            trial.number: trial.state for trial in trials
        }.items()
        assert [trial.number for trial in ledger.top(2)] == [trial.number for trial in best[:2]]
        assert ledger.lowest_loss() == (min(losses(best[0]).values()) if best else None)


class Counted(list[FrozenTrial]):
    """A list that counts how often its items are read."""

    reads = 0

    def __getitem__(self, key: Any) -> Any:
        self.reads += 1
        return super().__getitem__(key)


def test_ended_trials_are_read_only_once() -> None:
    """A search with thousands of trials reads its list of trials several times per trial."""
    attributes = {CHECKPOINT: "trials/0000"}
    ended = [optuna.create_trial(value=1.0, intermediate_values={1: 1.0}, user_attrs=attributes) for _ in range(500)]
    trials = Counted([*ended, optuna.create_trial(state=TrialState.RUNNING, user_attrs=attributes)])
    index = TrialIndex(epochs=1)
    assert len(index.own(trials)) == 501
    trials.reads = 0
    assert (len(index.own(trials)), len(index.best(trials, 2)), index.lowest_loss(trials)) == (501, 2, 1.0)
    assert trials.reads <= 6
