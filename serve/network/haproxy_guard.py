"""Ends HAProxy when Ray ends: `python haproxy_guard.py RAYLET HAPROXY` with two process ids.

HAProxy is not one of Ray's own processes. Without this guard, HAProxy would keep the endpoint's port occupied
after Ray is killed.
"""

import os
import select
import signal
import sys
from contextlib import suppress


def main() -> None:
    """Wait until the raylet or HAProxy exits, then stop HAProxy if it is still running."""
    raylet, haproxy = map(int, sys.argv[1:])
    with suppress(ProcessLookupError):
        proxy = os.pidfd_open(haproxy)  # a descriptor, because the ids of ended processes are reused
        poll = select.poll()
        poll.register(proxy, select.POLLIN)
        with suppress(ProcessLookupError):
            poll.register(os.pidfd_open(raylet), select.POLLIN)
            poll.poll()
        signal.pidfd_send_signal(proxy, signal.SIGTERM)


if __name__ == "__main__":
    main()
