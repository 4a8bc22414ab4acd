"""The attributes of a study's trials, and functions that interpret them."""

from optuna.trial import FrozenTrial, TrialState

FAILURE = "failure"
"""Trial attribute: why the trial failed or was rejected. It is also a tag of the MLflow runs of failed trials."""
ENDED_ELSEWHERE = "another program ended this trial in the study, for example the Optuna dashboard"
"""The failure that is recorded for a trial that another program has marked as failed."""
EPOCH = "epoch-"
"""Prefix of the attributes that hold the losses when there are several objectives."""
STATES = "trials"
"""Folder of the trials' training states."""
RUN = "mlflow_run_id"
"""Attribute of a trial or of the study: its MLflow run id."""
EPOCH_TIMES = "epoch_times"
"""Trial attribute: when each epoch was reported, in s since 1970; times before a driver was killed are missing."""
CHECKPOINT = "checkpoint"
"""Trial attribute: path of the training state in the study's folder. As a tag of a training run: its full path or URL.

Trials of the search have this attribute from the moment they are created; trials of other programs do not have it.
"""


def is_own(trial: FrozenTrial) -> bool:
    """Return whether the search has started this trial. Trials from older versions may lack `CHECKPOINT`."""
    return trial.state != TrialState.WAITING and not trial.user_attrs.keys().isdisjoint((CHECKPOINT, RUN, EPOCH_TIMES))


def losses(trial: FrozenTrial) -> dict[int, float]:
    """Return the validation losses of a trial by epoch, whether it has one objective or several."""
    noted = {int(key.removeprefix(EPOCH)): loss for key, loss in trial.user_attrs.items() if key.startswith(EPOCH)}
    return trial.intermediate_values or dict(sorted(noted.items()))
