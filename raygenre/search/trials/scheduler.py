"""When a trial is stopped early: Ray's ASHA or its median rule, with a memory that survives the driver.

Ray's rules keep what they know in memory. Here they are told again, from the ledger, what trials before this driver
reported. Each epoch of a trial is judged once: a training that goes on reports its epochs from the first again, and
what was let pass then is let pass now, although more is known by now. An epoch at which a trial was stopped is noted
in the ledger before anything else, so that a driver that dies right then does not forget it either.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from raygenre.search.space.config import SchedulerName, SearchConfig
from raygenre.search.study.ledger import Ledger, losses
from raygenre.search.trials.trainable import OBJECTIVE

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController

REDUCTION = 3  # ASHA lets the best third of the trials pass each rung
FEWEST = 3  # other trials that the median is taken of
STOPPED = "stopped_at_epoch"


@dataclass(frozen=True)
class Known:
    """A trial as a rule knows it: by its number in the ledger, whichever trial of Ray Tune carries it now."""

    trial_id: str


class LedgerScheduler(FIFOScheduler):
    """One of Ray's rules, told what the ledger knows.

    Attributes:
        rule: Ray's own.
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
                self._tell(trial.number, {"epoch": epoch, OBJECTIVE: best})

    def __getstate__(self) -> dict[str, Any]:
        """Nothing for Tune's snapshots, which are pickles that no one reads: the ledger has it all."""
        return {}

    def on_trial_add(self, tune_controller: "TuneController", trial: Trial) -> None:
        """Nothing: a rule is told of a trial with its first epoch."""

    def on_trial_result(self, tune_controller: "TuneController", trial: Trial, result: dict[str, Any]) -> str:
        """Return whether a trial goes on."""
        if "epoch" not in result or OBJECTIVE not in result:
            return str(TrialScheduler.CONTINUE)
        number, epoch = trial.config["number"], result["epoch"]
        if self._ledger.trials[number].user_attrs.get(STOPPED) == epoch:
            return str(TrialScheduler.STOP)
        if epoch in self._judged.get(number, ()):
            return str(TrialScheduler.CONTINUE)
        decision = self._judge(tune_controller, number, {"epoch": epoch, OBJECTIVE: result[OBJECTIVE]})
        if decision == TrialScheduler.STOP:
            self._ledger.note(number, STOPPED, epoch)
        return decision

    def on_trial_complete(self, tune_controller: "TuneController", trial: Trial, result: dict[str, Any]) -> None:
        """Nothing: a rule has heard of the last epoch already, and the median would count it twice."""

    def on_trial_remove(self, tune_controller: "TuneController", trial: Trial) -> None:
        """Nothing, as for a trial that completes."""

    def debug_string(self) -> str:
        return str(self.rule.debug_string())

    def _judge(self, tune_controller: "TuneController | None", number: int, row: dict[str, Any]) -> str:
        known = self._known(number)
        self._judged[number].add(row["epoch"])
        return str(self.rule.on_trial_result(tune_controller, known, row))

    def _tell(self, number: int, row: dict[str, Any]) -> None:
        """Let the rule know of an epoch that was judged before, without an answer."""
        if isinstance(self.rule, MedianStoppingRule):
            self._judged.setdefault(number, set()).add(row["epoch"])
            rule: Any = self.rule
            rule.on_trial_complete(None, Known(f"{number:04d}"), row)
        else:
            self._judge(None, number, row)

    def _known(self, number: int) -> Known:
        known = Known(f"{number:04d}")
        if number not in self._judged:
            self._judged[number] = set()
            self.rule.on_trial_add(None, known)
        return known


def scheduler(name: SchedulerName, ledger: Ledger) -> TrialScheduler:
    """Make the scheduler of a search from what its ledger knows."""
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
            min_samples_required=FEWEST,
            min_time_slice=math.inf,  # type: ignore[arg-type]  # no trial is paused for others: it would begin anew
        )
        return LedgerScheduler(median, ledger)
    return FIFOScheduler()


def rungs(config: SearchConfig) -> list[int]:
    """Return the epochs at which trials of a search are compared and the worse ones stopped."""
    if config.scheduler == "none":
        return []
    first = _grace(config.epochs)
    if config.scheduler == "median":
        return list(range(first, config.epochs + 1))
    return [first * REDUCTION**rung for rung in range(config.epochs) if first * REDUCTION**rung <= config.epochs]


def _grace(epochs: int) -> int:
    """Epochs that every trial has."""
    return max(1, epochs // REDUCTION**2, min(3, epochs))
