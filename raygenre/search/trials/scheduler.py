"""Stops trials early with ASHA or the median rule, whose state is rebuilt from the ledger.

Ray's schedulers keep their state in memory. Here it is rebuilt from the losses that earlier drivers recorded in the
ledger. Each epoch of a trial is evaluated only once. A resumed trial reports all of its epochs again, but an epoch
after which the scheduler let the trial continue is not evaluated again, even if other trials have reported since then.
Before a trial is stopped, the epoch is recorded in the ledger so that the decision survives if the driver dies at that
moment.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from raygenre.search.space.choices import SchedulerName
from raygenre.search.space.config import SearchConfig
from raygenre.search.study.ledger import Ledger, losses
from raygenre.search.trials.trial_config import TrialConfig
from raygenre.search.trials.trial_result import OBJECTIVE, TrialResult

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController

REDUCTION = 3  # at each rung, ASHA lets the best third of the trials continue
MIN_TRIALS_FOR_MEDIAN = 3
STOPPED = "stopped_at_epoch"
"""Trial attribute: the epoch at which the scheduler stopped the trial."""


@dataclass(frozen=True)
class _StudyTrial:
    """A trial for Ray's schedulers, identified by its number in the ledger because its Tune trial may change."""

    trial_id: str


class LedgerScheduler(FIFOScheduler):
    """One of Ray's schedulers, with its state rebuilt from the ledger.

    Attributes:
        rule: Ray's scheduler.
    """

    def __init__(self, rule: TrialScheduler, ledger: Ledger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rule: Any = rule
        self._ledger = ledger
        self._judged: dict[int, set[int]] = {}
        for trial in ledger.trials:
            best = math.inf
            for epoch, loss in sorted(losses(trial).items()):
                best = min(best, loss)
                self._replay(trial.number, epoch, best)

    def __getstate__(self) -> dict[str, Any]:
        """Return an empty state: the ledger contains everything, so Tune's pickled snapshots are never read."""
        return {}

    def on_trial_add(self, tune_controller: "TuneController", trial: Trial) -> None:
        """Do nothing: Ray's scheduler receives each trial together with its first epoch."""

    def on_trial_result(self, tune_controller: "TuneController", trial: Trial, result: dict[str, Any]) -> str:
        """Return Tune's decision on whether a trial continues."""
        report = TrialResult.from_dict(result).epoch
        if report is None:
            return str(TrialScheduler.CONTINUE)
        number, epoch = TrialConfig.from_dict(trial.config).number, report.epoch
        if self._ledger.trial(number).user_attrs.get(STOPPED) == epoch:
            return str(TrialScheduler.STOP)
        if epoch in self._judged.get(number, ()):
            return str(TrialScheduler.CONTINUE)
        decision = self._judge(tune_controller, number, epoch, report.best_validation_loss)
        if decision == TrialScheduler.STOP:
            self._ledger.note(number, STOPPED, epoch)
        return decision

    def on_trial_complete(self, tune_controller: "TuneController", trial: Trial, result: dict[str, Any]) -> None:
        """Do nothing: the last epoch has already been evaluated, and the median rule would count it twice."""

    def on_trial_remove(self, tune_controller: "TuneController", trial: Trial) -> None:
        """Do nothing, as in `on_trial_complete`."""

    def debug_string(self) -> str:
        return str(self.rule.debug_string())

    def _judge(self, tune_controller: "TuneController | None", number: int, epoch: int, loss: float) -> str:
        trial = _StudyTrial(f"{number:04d}")
        if number not in self._judged:
            self._judged[number] = set()
            self.rule.on_trial_add(None, trial)
        self._judged[number].add(epoch)
        return str(self.rule.on_trial_result(tune_controller, trial, {"epoch": epoch, OBJECTIVE: loss}))

    def _replay(self, number: int, epoch: int, loss: float) -> None:
        """Pass an epoch that was evaluated earlier to Ray's scheduler, and ignore its decision."""
        if isinstance(self.rule, MedianStoppingRule):
            self._judged.setdefault(number, set()).add(epoch)
            rule: Any = self.rule
            rule.on_trial_complete(None, _StudyTrial(f"{number:04d}"), {"epoch": epoch, OBJECTIVE: loss})
        else:
            self._judge(None, number, epoch, loss)


def scheduler(name: SchedulerName, ledger: Ledger) -> TrialScheduler:
    """Return the scheduler of a search, with its state rebuilt from the ledger."""
    epochs = ledger.config.epochs
    grace = _grace(epochs)
    if name == "asha":
        asha = AsyncHyperBandScheduler(
            time_attr="epoch",
            metric=OBJECTIVE,
            mode="min",
            max_t=epochs + 1,  # a trial ends by itself after its last epoch
            grace_period=grace,
            reduction_factor=REDUCTION,
        )
        return LedgerScheduler(asha, ledger)
    if name == "median":
        median = MedianStoppingRule(
            time_attr="epoch",
            metric=OBJECTIVE,
            mode="min",
            grace_period=grace,
            min_samples_required=MIN_TRIALS_FOR_MEDIAN,
            min_time_slice=math.inf,  # type: ignore[arg-type]  # never pause: a paused trial would restart from scratch
        )
        return LedgerScheduler(median, ledger)
    return FIFOScheduler()


def rungs(config: SearchConfig) -> list[int]:
    """Return the epochs at which the trials of a search are compared and the worse trials are stopped."""
    if config.scheduler == "none":
        return []
    first = _grace(config.epochs)
    if config.scheduler == "median":
        return list(range(first, config.epochs + 1))
    return [first * REDUCTION**rung for rung in range(config.epochs) if first * REDUCTION**rung <= config.epochs]


def kept(config: SearchConfig) -> float:
    """Return the share of the trials that is assumed to pass each rung until enough trials have reached it.

    ASHA lets more than a third pass, because it compares a trial only with the trials that reached the rung earlier.
    """
    return 0.5 if config.scheduler == "asha" else 0.5 ** (1 / max(1, len(rungs(config))))


def _grace(epochs: int) -> int:
    """Return the number of epochs for which every trial trains before it can be stopped.

    It is slightly more than a ninth of the epochs, so that ASHA's last rung is at about a third of them. A rung close
    to the end would stop trials without saving time.
    """
    return max(epochs // REDUCTION**2 + 1, min(3, epochs))
