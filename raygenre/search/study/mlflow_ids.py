"""Records MLflow run ids in the ledger as they arrive, which may be after a trial's end."""

from optuna.exceptions import UpdateFinishedTrialError

from raygenre.search.study.ledger import RUN, Ledger
from raygenre.tracking.tracker import Tracker


def trial_name(number: int) -> str:
    """Return the name of a trial's run."""
    return f"trial-{number:04d}"


def note_run_ids(ledger: Ledger, tracker: Tracker) -> None:
    """Record the run ids that arrived since the last call.

    The search's id is an attribute of the study; a trial's id is an attribute of the trial, or of the study if the
    trial had already ended.
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
