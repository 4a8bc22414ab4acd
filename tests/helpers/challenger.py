"""A process in which a version challenges the champion, once as many others as wanted are about to do so too.

Run: python -m tests.helpers.challenger ROOT URI VERSION DATA MEETING PROCESSES
"""

import sys
import time
from pathlib import Path

from raygenre.data.dataset import Dataset, load
from raygenre.registry import promotion, versions
from raygenre.system.storage import Storage


def main(root: str, uri: str, version: str, data: str, meeting: str, processes: str) -> None:
    storage = Storage(Path(root), uri)
    fetched = versions.fetch(storage, f"models:/raygenre/{version}")

    def meet() -> Dataset:
        """The data, when every process has read who is champion and has not decided yet."""
        dataset = load(Path(data), cache=storage.cache)
        (Path(meeting) / version).touch()
        deadline = time.monotonic() + 200
        while len(list(Path(meeting).iterdir())) < int(processes):
            assert time.monotonic() < deadline, "the others never came"
            time.sleep(0.02)
        return dataset

    promotion.promote_if_better(storage, int(version), fetched.classifier, fetched.evidence, data=meet)


if __name__ == "__main__":
    main(*sys.argv[1:])
