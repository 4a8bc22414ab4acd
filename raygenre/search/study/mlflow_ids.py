"""MLflow's run ids, written into the ledger when they arrive, which may be long after their trials ended."""

from optuna.exceptions import UpdateFinishedTrialError

from raygenre.search.study.ledger import RUN, Ledger
from raygenre.tracking.tracker import Tracker


def trial_name(number: int) -> str:
    """Name the run of a trial."""
    return f"trial-{number:04d}"


def note_run_ids(ledger: Ledger, tracker: Tracker) -> None:
    """Write down the ids that MLflow gave since the last time: the search's with the study, each trial's with the
    trial, or with the study where the trial had ended before.
    """
    for key, run_id in tracker.new_run_ids():
        _, role, name = key.split("/", 2)
        if role == "search":
            ledger.study.set_user_attr(RUN, run_id)
        elif role == "trial":
            _note_trial(ledger, int(name.removeprefix("trial-")), run_id)


def _note_trial(ledger: Ledger, number: int, run_id: str) -> None:
    if ledger.trial_run(number) == run_id:
        return
    try:
        ledger.note(number, RUN, run_id)
    except UpdateFinishedTrialError:
        ledger.study.set_user_attr(f"{RUN}/{number}", run_id)
