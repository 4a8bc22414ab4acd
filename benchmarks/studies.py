"""Measures the trials per hour and the overhead of submitted studies on one to three nodes.

Run, from the project's folder (15 minutes on 2 cores):
    python -m benchmarks.studies                        # 12 trials on one, two and three nodes
    python -m benchmarks.studies --trials 4 --epochs 2  # quick

The nodes are processes on this machine with one CPU each, so a machine with fewer cores than nodes gains nothing from
the additional nodes. The search trains the project's first network on 100 images of noise. The time for the trials is
measured from the start of the first trial to the end of the last one, according to Optuna's storage. The local search
also runs one trial at a time, on its own private cluster. The time of the local search is measured from the start to
the end of the command. The time of a submitted search is measured until the study's state is "done".
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import optuna
import typer
from ray.cluster_utils import Cluster
from rich.console import Console
from rich.table import Table

from benchmarks.orchestration import mlflow_server
from raygenre.search.study.ledger import Ledger
from raygenre.spectrogram.image import write_png
from raygenre.studies.store import open_store
from raygenre.system.storage import resolve

NODES = (1, 2, 3)
GENRES, IMAGES = 2, 50  # per genre
SHAPE = (128, 333)  # levels
RAYGENRE = [sys.executable, "-c", "from raygenre.cli import app; app()"]
STUDY = "measured"


def main(
    trials: Annotated[int, typer.Option(help="Trials of each study.")] = 12,
    epochs: Annotated[int, typer.Option(help="Epochs of each trial.")] = 6,
) -> None:
    """Run a study on each number of nodes, and the same search locally, and print the times."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    table = Table("search", "trials, s", "trials per hour", "whole search, s", "command, s")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, mlflow_server(Path(folder)) as uri:
        work = Path(folder)
        data = fill_folder(work / "data")
        search = ["--data", str(data), "--study", STUDY, "--trials", str(trials), "--epochs", str(epochs)]
        search += ["--top-k", "1", "--scheduler", "none", "--tracking-uri", uri]
        whole: dict[str, float] = {}
        for nodes in NODES:
            with cluster(nodes) as address:
                name = f"submitted, {nodes} {'node' if nodes == 1 else 'nodes'}"
                storage = work / f"storage-{nodes}"
                sent, whole[name] = submit([*search, "--storage", str(storage), "--address", address], storage, uri)
                add_row(table, name, storage, trials, whole[name], sent)
        storage = work / "storage-local"
        started = time.monotonic()
        call("tune", *search, "--storage", str(storage), "--max-concurrent", "1")
        whole["local"] = time.monotonic() - started
        add_row(table, "local, one trial at a time", storage, trials, whole["local"], whole["local"])
    console = Console()
    console.print(table)
    added = whole["submitted, 1 node"] - whole["local"]
    console.print(f"submitted search on one node minus local search: {added:+.1f} s")


def fill_folder(root: Path) -> Path:
    """Fill a folder with images of noise, and return it."""
    random = np.random.default_rng(0)
    for genre in range(GENRES):
        folder = root / f"genre{genre}"
        folder.mkdir(parents=True)
        for number in range(IMAGES):
            (folder / f"{number:03d}.png").write_bytes(write_png(random.integers(0, 256, SHAPE, dtype=np.uint8)))
    return root


@contextmanager
def cluster(nodes: int) -> Iterator[str]:
    """Run a Ray cluster with one CPU on each node, and yield the address of its job API."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # the jobs run `python`
    head = {"num_cpus": 1, "include_dashboard": True, "dashboard_host": "127.0.0.1", "dashboard_port": 0}
    running = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(nodes - 1):
            running.add_node(num_cpus=1)
        running.wait_for_nodes()
        head_node: Any = running.head_node  # Ray's annotation is None
        yield f"http://{head_node.webui_url}"
    finally:
        running.shutdown()


def submit(options: list[str], storage: Path, uri: str) -> tuple[float, float]:
    """Submit a study; return how long the command and the whole study took, in seconds."""
    started = time.monotonic()
    call("studies", "submit", *options)
    sent = time.monotonic() - started
    store = open_store(str(storage), None, uri)
    while not (study := store.get(STUDY)).has_ended:
        time.sleep(0.2)
    if study.state != "done":
        raise RuntimeError(f"the study's state is {study.state}: {study.error}")
    store.close()
    return sent, time.monotonic() - started


def call(*arguments: str) -> None:
    """Run a raygenre command.

    Raises:
        RuntimeError: the command fails.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_ADDRESS")}
    result = subprocess.run([*RAYGENRE, *arguments], capture_output=True, text=True, env=environment, check=False)
    if result.returncode:
        raise RuntimeError(f"{arguments[0]}: {result.stdout}{result.stderr}")


def add_row(table: Table, name: str, storage: Path, trials: int, whole: float, command: float) -> None:
    """Add a row with a search's times from Optuna's database, its total time and its command's time, both in s."""
    ledger = Ledger.open(resolve(storage, None).studies, STUDY, url=None)
    stored = ledger.study.trials
    ledger.close()
    begins = [trial.datetime_start for trial in stored if trial.datetime_start]
    ends = [trial.datetime_complete for trial in stored if trial.datetime_complete]
    seconds = (max(ends) - min(begins)).total_seconds()
    table.add_row(name, f"{seconds:.0f}", f"{3600 * trials / seconds:.0f}", f"{whole:.0f}", f"{command:.1f}")


if __name__ == "__main__":
    typer.run(main)
