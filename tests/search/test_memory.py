"""Real allocations beyond what the machine has."""

from pathlib import Path

import numpy as np
import pytest
import torch
from optuna.trial import TrialState

from raygenre.dataset import Dataset
from raygenre.search.memory import out_of_memory
from tests.conftest import new_ledger
from tests.search.test_trials import search

TOO_MUCH = 1 << 50  # bytes


def test_a_trial_that_needs_too_much_memory_fails_once_and_the_search_goes_on(
    tracks: Dataset, ray_cluster: None, tmp_path: Path
) -> None:
    """A dense layer of 10^11 units wants 51 TB."""
    ledger = new_ledger(
        tmp_path / "studies",
        tracks,
        trials=2,
        epochs=1,
        sampler="random",
        space={"dense": [64, 100_000_000_000]},
        starts=[{"dense": 100_000_000_000}, {"dense": 64}],
    )
    tracker, printed = search(ledger, tracks, tmp_path)
    assert [trial.state for trial in ledger.trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert (ledger.failure(0) or "").startswith("out of memory: ")
    run = tracker.client.get_run(str(ledger.trial_run(0)))
    assert run.info.status == "FAILED"
    assert run.data.tags["failure"].startswith("out of memory: ")
    assert "out of memory" in printed
    failures = list((ledger.folder / "tune").glob("*/error.txt"))
    assert failures == []  # Ray did not begin it again


def test_every_kind_of_it_is_told_apart_from_other_errors() -> None:
    with pytest.raises(RuntimeError) as on_cpu:
        torch.empty(TOO_MUCH, dtype=torch.uint8)
    assert out_of_memory(on_cpu.value).startswith("out of memory: ")
    with pytest.raises(MemoryError) as in_numpy:
        np.empty(TOO_MUCH, dtype=np.uint8)
    assert out_of_memory(in_numpy.value).startswith("out of memory: Unable to allocate")
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")).endswith("1 GiB")
    with pytest.raises(RuntimeError, match="must match") as another:
        torch.add(torch.ones(2), torch.ones(3))
    with pytest.raises(RuntimeError, match="must match"):
        out_of_memory(another.value)
