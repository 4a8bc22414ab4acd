"""Handles a trial that runs out of memory: it fails without a retry; the search continues.

Its state is FAIL, and no Optuna sampler learns from failed trials. The alternative would be a violated constraint that
marks the setting as infeasible. However, only TPE accepts a constraint for a trial without a value, and only if the
trial was pruned. The Gaussian process needs a value for every trial, and the same constraints for all trials. If the
trial fails instead, Optuna needs neither an invented loss nor an invented early stop.
"""

import torch

REASON = "out of memory"
KILLED = f"{REASON}: Ray killed the worker because its machine ran out of memory"
_SIGNS = ("can't allocate memory", "not enough memory", "DefaultCPUAllocator", "CUDA out of memory")


def oom_reason(error: Exception) -> str:
    """Return the failure message of a training run that ran out of memory; empty for any other error."""
    out_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    if not out_of_memory and not any(sign in str(error) for sign in _SIGNS):
        return ""
    return f"{REASON}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"


def error_line(error: BaseException) -> str:
    """Return the type and the first line of an exception, such as `KeyError: 'width'`."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
