"""After the search: the best settings again on new seeds, and the winner on all training tracks.

The best of many trials is partly luck, so the search's own values do not choose the winner. Each of the best k
settings is trained again from new seeds; the lowest mean loss wins, and its mean best epoch says how long the final
training goes, which has no validation tracks left to tell.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from raygenre.model import ModelConfig
from raygenre.search.config import Resources
from raygenre.search.ledger import Ledger
from raygenre.search.recorder import METRICS
from raygenre.search.searcher import trial_seed
from raygenre.search.space import Setting
from raygenre.search.trial import Plan, Tracks, start, train
from raygenre.tracking import Tracker
from raygenre.training import NonFiniteLossError

RERUNS = 2  # of each of the best settings

_FIRST_RERUN = 1_000_000  # seeds of re-runs are numbered from here, those of trials from 0
_FINAL = 2_000_000

Rows = list[dict[str, float]]


@dataclass(frozen=True)
class Finalist:
    """One of the best settings, trained again.

    Attributes:
        number: of its trial.
        setting: its values.
        search_loss: the objective in the search.
        losses: the objective of each re-run.
        accuracies: validation accuracy of each re-run at its best epoch.
        epochs: best epoch of each re-run.
    """

    number: int
    setting: Setting
    search_loss: float
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    epochs: tuple[int, ...]

    @property
    def loss(self) -> float:
        """Mean objective of the re-runs."""
        return float(np.mean(self.losses))

    @property
    def spread(self) -> float:
        """Standard deviation of the re-runs' objective."""
        return float(np.std(self.losses, ddof=1)) if len(self.losses) > 1 else 0.0


class Trainings:
    """Runs trainings as Ray tasks, a few at a time, and records them."""

    def __init__(
        self,
        ledger: Ledger,
        plan: Plan,
        tracks: "ray.ObjectRef[Tracks]",
        *,
        resources: Resources,
        tracker: Tracker,
        parent: str,
    ) -> None:
        self._ledger = ledger
        self._plan = plan
        self._tracks = tracks
        self._tracker = tracker
        self._parent = parent
        # A task whose worker died begins again from its last epoch.
        task = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=3)
        self._train = task(_train)
        self._train_all = task(_train_all)

    def rerun_best(self, done: Callable[[Finalist], None]) -> list[Finalist]:
        """Train the best settings again, and return them best first.

        What an earlier driver finished is taken from the ledger.

        Args:
            done: called with each finalist when it is complete.

        Raises:
            RuntimeError: no trial of the search was complete.
        """
        ledger = self._ledger
        best = ledger.top(ledger.config.top_k)
        if not best:
            raise RuntimeError("no trial completed, so there is nothing to choose from; see the failures above")
        parent = ledger.recall(
            "finalists_run_id", lambda: self._tracker.start("finalists", "finalists", parent=self._parent)
        )
        self._tracker.reopen(parent)
        waiting: dict[Any, tuple[int, int]] = {}
        for trial in best:
            for again in range(RERUNS):
                if _rerun(trial.number, again) not in ledger.study.user_attrs:
                    seed = trial_seed(ledger.config.seed, _FIRST_RERUN + trial.number * RERUNS + again)
                    folder = ledger.folder / "finalists" / f"{trial.number:04d}-{again}"
                    task = self._train.remote(self._plan, Setting(**trial.params), [self._tracks], seed, folder)
                    waiting[task] = (trial.number, again)
        finalists: dict[int, Finalist] = {}
        while len(finalists) < len(best):
            for trial in best:
                names = [_rerun(trial.number, again) for again in range(RERUNS)]
                known = ledger.study.user_attrs
                if trial.number not in finalists and all(name in known for name in names):
                    runs = [known[name] for name in names]
                    finalists[trial.number] = Finalist(
                        trial.number,
                        Setting(**trial.params),
                        float(trial.value or 0.0),
                        tuple(run["loss"] for run in runs),
                        tuple(run["accuracy"] for run in runs),
                        tuple(run["epoch"] for run in runs),
                    )
                    done(finalists[trial.number])
            if waiting:
                [ready], _ = ray.wait(list(waiting), num_returns=1)
                number, again = waiting.pop(ready)
                self._record(parent, number, again, Setting(**ledger.trials[number].params), ray.get(ready))
        self._tracker.end(parent, "FINISHED")
        return sorted(finalists.values(), key=lambda finalist: finalist.loss)

    def final(self, winner: Finalist) -> tuple[ModelConfig, dict[str, NDArray[Any]], str]:
        """Train the winner's setting on all training tracks.

        Returns:
            The network's dimensions and weights, and the MLflow run, which is left open for the evaluation.
        """
        epochs = max(1, round(float(np.mean(winner.epochs))))
        seed = trial_seed(self._ledger.config.seed, _FINAL)
        run_id: str = self._ledger.recall(
            "final_run_id",
            lambda: self._tracker.start(
                "final",
                "final",
                parent=self._parent,
                params=asdict(winner.setting),
                tags={"seed": seed, "epochs": epochs, "trial": winner.number},
            ),
        )
        self._tracker.reopen(run_id)
        plan = replace(self._plan, epochs=epochs)
        folder = self._ledger.folder / "final-training"
        task = self._train_all.remote(plan, winner.setting, [self._tracks], seed, folder)
        model, weights, rows = ray.get(task)
        keys = [key for key in (*METRICS, "epoch") if "validation" not in key]  # no track is left for that
        self._tracker.log_missing(run_id, [{key: row[key] for key in keys} for row in rows])
        return model, weights, run_id

    def _record(self, parent: str, number: int, again: int, setting: Setting, result: "tuple[Rows, str]") -> None:
        rows, failure = result
        run_id: str = self._ledger.recall(
            f"{_rerun(number, again)}-run",
            lambda: self._tracker.start(
                f"finalist-{number:04d}-{again}",
                "finalist",
                parent=parent,
                params=asdict(setting),
                tags={"trial": number, "study": self._ledger.name, "rerun": again},
            ),
        )
        self._tracker.log_missing(run_id, [{key: row[key] for key in (*METRICS, "epoch")} for row in rows])
        if failure:
            self._tracker.end(run_id, "FAILED", tags={"failure": failure})
            outcome = {"loss": math.inf, "accuracy": 0.0, "epoch": 1}
        else:
            self._tracker.end(run_id, "FINISHED")
            best = min(rows, key=lambda row: row["validation_loss"])
            outcome = {
                "loss": best["validation_loss"],
                "accuracy": best["validation_accuracy"],
                "epoch": int(best["epoch"]),
            }
        self._ledger.study.set_user_attr(_rerun(number, again), outcome)


def _rerun(number: int, again: int) -> str:
    return f"rerun-{number}-{again}"


def _train(
    plan: Plan, setting: Setting, shared: "list[ray.ObjectRef[Tracks]]", seed: int, folder: Path
) -> tuple[Rows, str]:
    """A re-run's epochs, and why it ended early if it did."""
    tracks: Tracks = ray.get(shared[0])
    rows: Rows = []
    try:
        for row in train(start(plan, setting, tracks, seed=seed), tracks, epochs=plan.epochs, folder=folder):
            rows.append(row)
    except NonFiniteLossError as error:
        return rows, str(error)
    return rows, ""


def _train_all(
    plan: Plan, setting: Setting, shared: "list[ray.ObjectRef[Tracks]]", seed: int, folder: Path
) -> tuple[ModelConfig, dict[str, NDArray[Any]], Rows]:
    """Train on training and validation tracks together; dimensions, weights and epochs."""
    tracks: Tracks = ray.get(shared[0])
    everything = np.sort(np.concatenate(tracks.folds[0]))
    whole = replace(tracks, folds=((everything, np.empty(0, dtype=np.int64)),))
    members = start(plan, setting, whole, seed=seed)
    rows = list(train(members, whole, epochs=plan.epochs, folder=folder))
    model = members[0].model
    weights = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in model.state_dict().items()}
    return model.config, weights, rows
