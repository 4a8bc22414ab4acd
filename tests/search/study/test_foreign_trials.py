"""Other programs change a study, with Optuna's own functions, while a search uses it."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from raygenre.data.dataset import Dataset
from raygenre.search.space.samplers import sampler
from raygenre.search.study import backend
from raygenre.search.study.foreign_trials import foreign_trials, refuse_enqueued
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.trial_attributes import ENDED_ELSEWHERE
from tests.conftest import new_ledger

SAMPLER = sampler("random", seed=0, trials=9)


def other_program(ledger: Ledger) -> optuna.Study:
    """Return the study as another process sees it, through a separate storage."""
    return optuna.load_study(study_name=ledger.name, storage=backend.storage(ledger.folder, None))


def start_trial(ledger: Ledger) -> int:
    return ledger.start_trial(SAMPLER, ledger.config.distributions).number


def finished_trial(ledger: Ledger, values: list[float]) -> optuna.trial.FrozenTrial:
    space = ledger.config.distributions
    params = {"dropout": 0.1, "learning_rate": 1e-3, "decay": 0.1}
    return optuna.create_trial(params=params, distributions=space, values=values)


def test_a_trial_that_others_ended_stays_as_they_left_it(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    number = start_trial(ledger)
    ledger.report(number, epoch=1, loss=0.5)
    other_program(ledger).tell(number, state=TrialState.FAIL)
    ledger.report(number, epoch=2, loss=0.4)
    ledger.note(number, "late", 1)
    assert ledger.finish(number) is TrialState.FAIL
    assert ledger.trial(number).intermediate_values == {1: 0.5}
    assert ledger.failure(number) == ENDED_ELSEWHERE


def test_a_trial_that_others_completed_early_does_not_win(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    ended, partial, whole = (start_trial(ledger) for _ in range(3))
    ledger.report(partial, epoch=1, loss=0.1)
    for number in (ended, partial):
        other_program(ledger).tell(number, 0.01)
    for epoch in (1, 2):
        ledger.report(whole, epoch=epoch, loss=0.5)
    assert ledger.finish(partial) is TrialState.COMPLETE
    ledger.finish(whole)
    assert [trial.number for trial in ledger.top(3)] == [whole]


def test_trials_of_others_are_not_part_of_the_search(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    assert start_trial(ledger) == 0
    other_program(ledger).ask()
    other_program(ledger).add_trial(finished_trial(ledger, [0.001]))
    assert start_trial(ledger) == 3  # Optuna's next number
    assert [trial.number for trial in ledger.trials] == [0, 3]
    assert [trial.number for trial in ledger.unfinished()] == [0, 3]
    assert [trial.number for trial in foreign_trials(ledger)] == [1, 2]
    assert ledger.top(3) == []
    assert ledger.trial(1).state is TrialState.RUNNING
    assert ledger.trial(1).user_attrs == {}


def test_trials_of_others_are_not_on_the_pareto_front(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks, objectives=["loss", "parameters"])
    number = start_trial(ledger)
    for epoch in (1, 2):
        ledger.report(number, epoch=epoch, loss=0.5)
    ledger.finish(number, measured={"objective_loss": 0.5, "objective_parameters": 9.0})
    other_program(ledger).add_trial(finished_trial(ledger, [0.001, 1.0]))
    assert [trial.number for trial in ledger.front()] == [number]


def test_an_enqueued_trial_is_part_of_the_search(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    other_program(ledger).enqueue_trial({"dropout": 0.125, "width": 8})  # width is fixed at 8 in this space
    assert refuse_enqueued(ledger, ledger.config.distributions) == []
    assert start_trial(ledger) == 0
    assert [trial.params["dropout"] for trial in ledger.trials] == [0.125]
    assert foreign_trials(ledger) == []


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        (
            {"dropout": 0.1, "learning_rate": 5.0},
            "learning_rate=5.0 is outside the space, which allows 0.0002 to 0.005",
        ),
        ({"learning_rate": "fast"}, "learning_rate=fast is outside the space, which allows 0.0002 to 0.005"),
        ({"dropout": float("nan")}, "dropout=nan is outside the space, which allows 0 to 0.5"),
        ({"normalisation": "layer"}, "normalisation=layer is outside the space, which allows none or batch"),
        ({"width": 16}, "width=16: width is fixed at 8 in this space"),
        ({"droput": 0.1}, "droput=0.1: unknown name droput; did you mean dropout?"),
    ],
)
def test_an_enqueued_trial_outside_the_space_is_refused(
    tracks: Dataset, tmp_path: Path, point: dict[str, Any], reason: str
) -> None:
    ledger = new_ledger(tmp_path, tracks, space={"normalisation": ["none", "batch"]})
    other_program(ledger).enqueue_trial(point)
    assert refuse_enqueued(ledger, ledger.config.distributions) == [f"enqueued trial 0 refused: {reason}"]
    assert ledger.trial(0).state is TrialState.FAIL
    assert ledger.trial(0).user_attrs["failure"] == f"refused: {reason}"
    assert start_trial(ledger) == 1
    assert [trial.number for trial in ledger.trials] == [1]
    assert ledger.trial(1).params["dropout"] == 0.3  # the start point is still the first trial of the search
    assert foreign_trials(ledger) == []
