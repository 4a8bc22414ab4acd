"""A search loses all its places during the repeats and the final training, and regains them."""

from collections import Counter
from pathlib import Path

import pytest

from raygenre.data.dataset import Dataset
from raygenre.search.controls import Controls, Demand, SearchStopped
from raygenre.search.space.config import Resources
from raygenre.search.study.ledger import RUN, Ledger
from raygenre.search.trials.pause_signal import FOLDER
from raygenre.search.trials.phases import TextDisplay
from raygenre.tracking.server import Server
from raygenre.workflows import tune
from tests.conftest import new_ledger
from tests.helpers.storages import empty_storage

EPOCHS = 20
SPACE = {"width": 48, "learning_rate": 1e-5}
"""Settings with slow, steady improvement: the last epoch is the best, and the final training takes seconds."""


class OnAndOff(Controls):
    """Sets the limit to zero once training has started in a phase, and lifts it once no place is in use.

    Attributes:
        paused: the paused phases, each with the number of repeats that had ended by then.
    """

    def __init__(self, ledger: Ledger, *, stop_in: str = "") -> None:
        self._ledger = ledger
        self._stop_in = stop_in
        self._last: Demand | None = None
        self.paused: dict[str, int] = {}
        super().__init__()

    @property
    def demand(self) -> Demand | None:
        return self._last

    @demand.setter
    def demand(self, demand: Demand | None) -> None:
        self._last = demand
        if demand is None or demand.phase not in ("repeats", "final"):
            return
        training = len(list((self._ledger.folder / FOLDER).glob("*/started")))
        if demand.phase == self._stop_in and training:
            self.request_stop()
        elif demand.running == training and demand.running and demand.phase not in self.paused:
            ended = [name for name in self._ledger.study.user_attrs if name.startswith("rerun-")]
            self.paused[demand.phase] = len(ended)
            self.limit = 0
        elif not demand.running:
            self.limit = None


@pytest.mark.slow
def test_repeats_and_the_final_training_pause(tracks: Dataset, ray_cluster: None, tmp_path: Path) -> None:
    storage = empty_storage(tmp_path)
    ledger = new_ledger(storage.studies.folder, tracks, trials=2, epochs=EPOCHS, top_k=1, space=SPACE)
    stopped = OnAndOff(ledger, stop_in="repeats")

    def run(controls: Controls) -> tune.Outcome:
        return tune.run(
            ledger,
            tracks,
            Server(storage),
            resources=Resources(1, 0),
            promote=False,
            display=TextDisplay(),
            controls=controls,
        )

    with pytest.raises(SearchStopped):
        run(stopped)
    client = Server(storage).client
    assert client.get_run(ledger.study.user_attrs[RUN]).info.status == "KILLED"
    controls = OnAndOff(ledger)
    outcome = run(controls)
    assert list(controls.paused) == ["repeats", "final"]
    assert controls.paused["repeats"] == 0
    assert controls.demand == Demand("closing", 0, 0, 1, 0)
    server = Server(storage)
    runs = server.client.search_runs([server.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert Counter(run.data.tags["role"] for run in runs) == {
        "search": 1,
        "trial": 2,
        "finalists": 1,
        "finalist": 2,
        "final": 1,
    }
    for run_ in runs:
        epochs = {"trial": EPOCHS, "finalist": EPOCHS, "final": max(outcome.candidate.winner.epochs)}
        if run_.data.tags["role"] not in epochs:
            continue
        history = server.client.get_metric_history(run_.info.run_id, "train_loss")
        steps = Counter(metric.step for metric in history)
        assert set(steps.values()) == {1}
        assert sorted(steps) == list(range(1, len(steps) + 1))
        assert len(steps) <= epochs[run_.data.tags["role"]]
