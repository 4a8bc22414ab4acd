"""Records MLflow run ids in the ledger as they arrive, even after a trial has ended."""

from raygenre.search.study.ledger import RUN, Ledger
from raygenre.tracking.tracker import Tracker


def trial_name(number: int) -> str:
    """Return the name of a trial's MLflow run."""
    return f"trial-{number:04d}"


def note_run_ids(ledger: Ledger, tracker: Tracker) -> None:
    """Record the run ids that have arrived since the last call.

    The search's run id is stored as an attribute of the study. A trial's run id is stored as an attribute of the trial,
    or of the study if the trial has already ended.
    """
    for key, run_id in tracker.new_run_ids():
        _, role, name = key.split("/", 2)
        if role == "search":
            ledger.study.set_user_attr(RUN, run_id)
        elif role == "trial":
            _note_trial(ledger, int(name.removeprefix("trial-")), run_id)


def _note_trial(ledger: Ledger, number: int, run_id: str) -> None:
    if ledger.trial(number).user_attrs.get(RUN) == run_id:
        return
    ledger.note(number, RUN, run_id)
    if ledger.trial_run(number) != run_id:  # the trial has ended
        ledger.study.set_user_attr(f"{RUN}/{number}", run_id)
