"""A search that cannot succeed ends early; tested on real ledgers without Ray."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import TrialState

from raygenre.data.dataset import Dataset
from raygenre.search.space.samplers import sampler
from raygenre.search.study.ledger import Ledger
from raygenre.search.trials.failure_watch import RESTARTS, FailureWatch, SearchFailedError, check_completed
from raygenre.search.trials.phases import TextDisplay
from raygenre.search.trials.trial_config import TrialConfig
from tests.conftest import new_ledger

MISSING = "ModuleNotFoundError: No module named 'x'"
FAR = "the training loss is nan in epoch 2"
OUT_OF_MEMORY = "out of memory: Unable to allocate 9 TiB"
ELSEWHERE = "elsewhere"  # another program marks the trial as failed


def end_trial(ledger: Ledger, watch: FailureWatch, failure: str) -> None:
    """Start a trial, and end it as failed if a failure is passed, otherwise as complete."""
    trial = ledger.start_trial(sampler("random", seed=0, trials=9), ledger.config.distributions)
    if failure == ELSEWHERE:
        ledger.study.tell(trial.number, state=TrialState.FAIL)
    elif not failure:
        for epoch in (1, 2):
            ledger.report(trial.number, epoch=epoch, loss=0.5)
    ledger.finish(trial.number, failure=failure)
    ended: Any = SimpleNamespace(config=TrialConfig.of(ledger, trial).to_dict())
    watch.on_trial_complete(0, [], ended)


@pytest.mark.parametrize(
    ("failures", "stops"),
    [
        ([MISSING] * 3, True),
        ([MISSING] * 2, False),
        ([FAR, FAR.replace("2", "7"), FAR.replace("nan", "inf")], True),
        ([OUT_OF_MEMORY, "out of memory: killed", OUT_OF_MEMORY], True),
        ([MISSING, FAR, MISSING, FAR], False),
        ([MISSING, MISSING, "", MISSING], False),
        ([MISSING, MISSING, ELSEWHERE, MISSING], True),
        ([ELSEWHERE] * 4, False),
        ([FAR, MISSING, MISSING, MISSING], True),
    ],
)
def test_a_search_ends_after_alike_failures_in_a_row(
    tracks: Dataset, tmp_path: Path, failures: list[str], stops: bool
) -> None:
    ledger = new_ledger(tmp_path, tracks, trials=6)
    watch = FailureWatch(ledger, TextDisplay(), limit=3)
    for failure in failures:
        assert not watch.stop_all()
        end_trial(ledger, watch, failure)
    assert watch.stop_all() == stops
    if not stops:
        watch.check()
        return
    with pytest.raises(SearchFailedError, match=r"the last 3 trials failed for the same .*with --trials 9") as error:
        watch.check()
    assert len(str(error.value).splitlines()) == 1


def test_without_a_limit_no_failures_end_a_search(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks, trials=9)
    watch = FailureWatch(ledger, TextDisplay(), limit=0)
    for _ in range(7):
        end_trial(ledger, watch, MISSING)
    assert not watch.stop_all()


def test_each_cause_is_displayed_once(tracks: Dataset, tmp_path: Path) -> None:
    ledger, text = new_ledger(tmp_path, tracks, trials=9), io.StringIO()
    watch = FailureWatch(ledger, TextDisplay(text), limit=5)
    for failure in (MISSING, MISSING, FAR, MISSING, FAR, ""):
        end_trial(ledger, watch, failure)
    assert text.getvalue().splitlines() == [
        f"trial 0       failed  {MISSING}",
        f"trial 2       failed  {FAR}",
    ]


def test_only_a_trial_that_another_program_ended_is_stopped(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    trials = [ledger.start_trial(sampler("random", seed=0, trials=9), ledger.config.distributions) for _ in range(2)]
    ledger.study.tell(1, state=TrialState.FAIL)
    watch = FailureWatch(ledger, TextDisplay(), limit=5)
    results = [{"config": TrialConfig.of(ledger, trial).to_dict()} for trial in trials]
    assert [watch("id", result) for result in results] == [False, True]


def test_a_repeatable_exception_is_tried_only_once_more(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    watch = FailureWatch(ledger, TextDisplay(), limit=5)
    started = ledger.start_trial(sampler("random", seed=0, trials=9), ledger.config.distributions)
    raised = "Traceback (most recent call last):\n  File 'x.py', line 1\nKeyError: 'width'\n"
    for text, restarts in ((raised, 0), ("its node has died", 3)):
        (tmp_path / "error.txt").write_text(f"Failure # 1 (occurred at noon)\n{text}")
        trial: Any = SimpleNamespace(
            error_file=str(tmp_path / "error.txt"), max_failures=3, config=TrialConfig.of(ledger, started).to_dict()
        )
        watch.on_trial_recover(0, [], trial)
        assert trial.max_failures == restarts


def test_a_trial_that_makes_progress_survives_many_lost_nodes(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks, epochs=9)
    watch = FailureWatch(ledger, TextDisplay(), limit=5)
    started = ledger.start_trial(sampler("random", seed=0, trials=9), ledger.config.distributions)
    (tmp_path / "error.txt").write_text("Failure # 1 (occurred at noon)\nits node has died")
    trial: Any = SimpleNamespace(
        error_file=str(tmp_path / "error.txt"), max_failures=RESTARTS, config=TrialConfig.of(ledger, started).to_dict()
    )
    allowed = []
    for failures, epoch in enumerate((1, 2, 2, 3), start=1):
        ledger.report(0, epoch=epoch, loss=0.5)
        trial.num_failures = failures
        watch.on_trial_recover(0, [], trial)
        allowed.append(trial.max_failures)
    assert allowed == [3, 4, 4, 6]


def test_a_search_without_a_complete_trial_says_why(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    watch = FailureWatch(ledger, TextDisplay(), limit=5)
    for failure in (MISSING, FAR, MISSING):
        end_trial(ledger, watch, failure)
    with pytest.raises(SearchFailedError) as error:
        check_completed(ledger)
    assert f"no trial of the study study completed: {MISSING} (2); {FAR} (1) (" in str(error.value)
    assert "resume with --trials 6" in str(error.value)
    end_trial(ledger, watch, "")
    check_completed(ledger)
