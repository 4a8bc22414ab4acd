"""A trial that needs more memory than there is: it fails with that reason, once, and the search goes on.

Its state is FAIL, which no sampler of Optuna learns from. A violated constraint would be the other way to say
"infeasible", but only TPE hears one without a value, and only of a trial that calls itself stopped; the Gaussian
process wants a value and the same constraints of every trial. Neither a loss that nobody measured nor a stop that
nobody ordered is told to Optuna.
"""

import torch

REASON = "out of memory"
KILLED = f"{REASON}: Ray ended the worker because its machine's memory was full"
_SIGNS = ("can't allocate memory", "not enough memory", "DefaultCPUAllocator", "CUDA out of memory")


def oom_reason(error: Exception) -> str:
    """Return why a training ended, if it ran out of memory; raise the error again if not."""
    short_of_it = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    if not short_of_it and not any(sign in str(error) for sign in _SIGNS):
        raise error
    return f"{REASON}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
