"""Real allocations beyond available memory; test_tuner.py covers trials with such failures."""

import numpy as np
import pytest
import torch

from raygenre.search.trials.out_of_memory import oom_reason

TOO_MUCH = 1 << 50  # bytes


def test_only_errors_of_missing_memory_are_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as on_cpu:
        torch.empty(TOO_MUCH, dtype=torch.uint8)
    assert oom_reason(on_cpu.value).startswith("out of memory: ")
    with pytest.raises(MemoryError) as in_numpy:
        np.empty(TOO_MUCH, dtype=np.uint8)
    assert oom_reason(in_numpy.value).startswith("out of memory: Unable to allocate")
    assert oom_reason(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")).endswith("1 GiB")
    with pytest.raises(RuntimeError, match="must match") as other:
        torch.add(torch.ones(2), torch.ones(3))
    assert oom_reason(other.value) == ""
