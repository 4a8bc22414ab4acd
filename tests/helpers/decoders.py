"""Pause an endpoint's decoder processes."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from benchmarks.processes import titled


@contextmanager
def stopped_decoders() -> Iterator[list[int]]:
    """Pause the decoders of the endpoint's replica within this context, and yield their process ids."""
    [replica] = titled("ServeReplica:endpoint:", os.getpid())
    decoders = titled("serve.inference.decoder_process", replica)
    assert decoders
    for pid in decoders:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield decoders
    finally:
        for pid in decoders:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
