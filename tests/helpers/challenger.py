"""Promote a version at the same time as other processes.

Each process waits until all of them have read the champion.

Run: python -m tests.helpers.challenger ROOT URI VERSION DATA BARRIER PROCESSES
"""

import sys
import time
from pathlib import Path

from raygenre.data.dataset import Dataset, load
from raygenre.registry import promotion, versions
from raygenre.system.storage import Storage
from raygenre.tracking.server import Server


def main(root: str, uri: str, version: str, data: str, barrier: str, processes: str) -> None:
    server = Server(Storage(Path(root), uri))
    fetched = versions.fetch(server, f"models:/raygenre/{version}")

    def load_at_barrier() -> Dataset:
        """Load the data set, then wait until every process has read the champion, so that none decides too early."""
        dataset = load(Path(data), cache=server.storage.cache)
        (Path(barrier) / version).touch()
        deadline = time.monotonic() + 200
        while len(list(Path(barrier).iterdir())) < int(processes):
            assert time.monotonic() < deadline, "the other processes did not reach the barrier"
            time.sleep(0.02)
        return dataset

    promotion.promote_if_better(server, int(version), fetched.classifier, fetched.facts, data=load_at_barrier)


if __name__ == "__main__":
    main(*sys.argv[1:])
