from pathlib import Path

from optuna.trial import TrialState
from ray.tune.search import Searcher

from raygenre.data.dataset import Dataset
from raygenre.search.controls import Controls
from raygenre.search.space.samplers import sampler
from raygenre.search.space.space import default_space
from raygenre.search.study.ledger import CHECKPOINT, STATES, Ledger
from raygenre.search.study.time_used import TimeUsed
from raygenre.search.trials.phases import TextDisplay
from raygenre.search.trials.search_timer import SearchTimer
from raygenre.search.trials.searcher import LedgerSearcher
from raygenre.search.trials.timings import Work
from raygenre.search.trials.trial_config import trial_seed
from raygenre.search.trials.trial_limits import TrialLimits
from raygenre.search.trials.trial_result import TrialResult
from tests.conftest import new_ledger
from tests.helpers.trials import epoch_report

FINISHED: object = Searcher.FINISHED


def searcher(ledger: Ledger, refusals: list[str] | None = None) -> LedgerSearcher:
    refusals = [] if refusals is None else refusals
    chosen = sampler("random", seed=0, trials=3, past_trials=len(ledger.trials))
    timer = SearchTimer(ledger, Work(ledger.config.trials, ledger.config.epochs, finalists=1, repeats=1, slots=2))
    limits = TrialLimits(ledger, Controls(), timer=timer, time_used=TimeUsed(ledger), display=TextDisplay())
    return LedgerSearcher(
        ledger,
        chosen,
        default_space(ledger.config.epochs),
        limits=limits,
        may_start=lambda: True,
        is_stopping=lambda: False,
        on_refusal=refusals.append,
    )


def end_all(search: LedgerSearcher, *tune_trials: str) -> None:
    """End Tune's trials without a result, as if their workers had died before the first epoch."""
    for trial in tune_trials:
        search.on_trial_complete(trial)


def test_a_search_ends_with_its_number_of_trials(tracks: Dataset, tmp_path: Path) -> None:
    search = searcher(new_ledger(tmp_path, tracks))
    configs = [search.suggest(name) for name in "abc"]
    assert [config["number"] for config in configs if config] == [0, 1, 2]
    assert search.suggest("d") is None  # not the end of the search: while trials are running, the user may allow more
    end_all(search, *"abc")
    assert search.suggest("d") == FINISHED


def test_unfinished_trials_resume_first_with_their_settings(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    first = searcher(ledger)
    first.suggest("a")
    unfinished = first.suggest("b")
    assert unfinished is not None
    ledger.report(0, epoch=1, loss=0.5)
    ledger.report(0, epoch=2, loss=0.4)
    first.on_trial_complete("a", epoch_report(2, 0.4))
    ledger.report(1, epoch=1, loss=0.9)

    resumed = searcher(ledger)
    assert resumed.suggest("x") == unfinished
    fresh = resumed.suggest("y")
    assert fresh is not None
    assert fresh["number"] == 2
    end_all(resumed, *"xy")
    assert resumed.suggest("z") == FINISHED


def test_an_interrupted_draw_is_completed(tracks: Dataset, tmp_path: Path) -> None:
    """Optuna stores a trial before drawing its values, so a driver may die between the two steps."""
    ledger = new_ledger(tmp_path, tracks)
    ledger.study.enqueue_trial({}, user_attrs={CHECKPOINT: STATES})
    ledger.study.ask()
    config = searcher(ledger).suggest("a")
    assert config is not None
    space = ledger.config.distributions
    assert config["params"].keys() == space.keys()
    assert all(space[name]._contains(value) for name, value in config["params"].items())
    assert ledger.trial(0).user_attrs[CHECKPOINT] == "trials/0000"


def test_a_search_has_its_trials_whatever_others_do(tracks: Dataset, tmp_path: Path) -> None:
    """Three of six trials belong to the search; another program ends one of these between two drivers."""
    ledger, refusals = new_ledger(tmp_path, tracks), list[str]()
    ledger.study.ask()  # trial 0, from another program
    first = searcher(ledger, refusals)
    configs = [first.suggest("a"), first.suggest("b")]
    ledger.study.tell(1, state=TrialState.FAIL)
    ledger.study.ask()  # trial 3, from another program
    ledger.study.enqueue_trial({"dropout": 7.0})  # trial 4, which is refused
    resumed = searcher(ledger, refusals)
    configs += [resumed.suggest("x"), resumed.suggest("y")]
    assert resumed.suggest("z") is None
    assert [(config["number"], config["seed"]) for config in configs if config] == [
        (number, trial_seed(0, number)) for number in (1, 2, 2, 5)
    ]
    assert [trial.number for trial in ledger.trials] == [1, 2, 5]
    assert ledger.trial(1).params["dropout"] == 0.3  # the start point
    assert len(refusals) == 1


def test_a_recorded_failure_is_not_trained_again(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    searcher(ledger).suggest("a")
    ledger.report(0, epoch=1, loss=0.5)
    ledger.note(0, "failure", "out of memory")  # then the driver is killed
    again = searcher(ledger).suggest("x")
    assert ledger.state(0) is TrialState.FAIL
    assert again is not None
    assert again["number"] == 1


def test_optuna_gets_the_real_final_states(tracks: Dataset, tmp_path: Path) -> None:
    """Unlike this searcher, Ray's OptunaSearch reports a stopped trial as complete, with the loss of an early epoch."""
    ledger = new_ledger(tmp_path, tracks, trials=4)
    search = searcher(ledger)
    for name in "abcd":
        search.suggest(name)
    for number in (0, 1, 3):
        ledger.report(number, epoch=1, loss=0.1 + number)
    ledger.report(0, epoch=2, loss=0.05)
    search.on_trial_complete("a", epoch_report(2, 0.05))
    search.on_trial_complete("b", epoch_report(1, 1.1))
    search.on_trial_complete("c", None)
    search.on_trial_complete("d", TrialResult(failure="the training loss is nan in epoch 2").to_dict())
    states = [trial.state for trial in ledger.trials]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.FAIL]
    assert ledger.failure(3) == "the training loss is nan in epoch 2"


def test_seeds_are_far_apart() -> None:
    seeds = {trial_seed(search, number) for search in range(20) for number in range(100)}
    assert len(seeds) == 2000
    assert trial_seed(3, 5) == trial_seed(3, 5)
