"""Connect to a cluster and, before a batch starts, check that every node can run it."""

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raygenre.batch.errors import BatchError
from raygenre.errors import RaygenreError, file_errors, reason_of
from raygenre.search.trials import cluster
from raygenre.system.location import Location, is_url
from raygenre.system.printable import printable

_SECONDS = 120  # s; maximum time for a node to respond, including the imports of a new worker process


@dataclass(frozen=True)
class Needs:
    """What a batch needs on each node.

    Attributes:
        sources: paths and URLs that must be readable.
        output: folder or URL of the output.
        marker: name of a file written to the output by the machine that starts the batch.
        release: version of this package that must be installed.
    """

    sources: tuple[str, ...]
    output: Location
    marker: str
    release: str

    def problem(self) -> str:
        """Return what is missing on this machine, or an empty string if nothing is missing."""
        if (here := version("raygenre")) != self.release:
            return f"raygenre {here} is installed there, not {self.release}; install the same version on every node"
        for source in self.sources:
            try:
                if is_url(source):
                    Location(source).check_access()
                else:
                    Path(source).stat()
            except (OSError, RaygenreError) as error:
                return (
                    f"{printable(source)} cannot be read there: {reason_of(error)}; use a folder that all nodes share, "
                    "or a URL, and set its store's credentials on every node"
                )
        try:
            self.output.read(self.marker)
        except (OSError, RaygenreError):
            return (
                f"{printable(str(self.output))} is not the same folder there; use a folder that all nodes share, or a "
                "URL, and set its store's credentials on every node"
            )
        return ""


def connect(address: str) -> str:
    """Connect to the cluster of a batch, and return a line that describes the cluster.

    Args:
        address: the cluster's address, or `local` for a private one on this machine.

    Raises:
        ClusterError, RayFolderError: as for `raygenre.search.trials.cluster.connect`.
    """
    # Ray's core prints an error for every Ray Data pool, because the pool's actors have arguments and may be restarted.
    # This variable suppresses the error, but the core then prints at startup that the variable is set.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    with _without_stderr():
        return cluster.connect(None if address == "local" else address)


def check_nodes(sources: Sequence[str], output: Location) -> None:
    """Check that each node with CPUs or GPUs can run a batch. Nodes that join later are not checked.

    Args:
        sources: paths and URLs that each node must be able to read.
        output: folder or URL to which each node writes.

    Raises:
        BatchError: a node lacks the package, a source or the output.
        FileAccessError: this machine cannot write to the output.
    """
    needs = Needs(tuple(sources), output, f".raygenre-{secrets.token_hex(8)}", version("raygenre"))
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].keys() & {"CPU", "GPU"}]
    with file_errors(f"{printable(str(output))} cannot be written"):
        output.write(needs.marker, b"")
        try:
            _check(nodes, needs)
        finally:
            store, path = output.file_system()
            store.delete_file(f"{path}/{needs.marker}")


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Discard everything that this process, including its C++ code, writes to stderr."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _check(nodes: Sequence[Mapping[str, Any]], needs: Needs) -> None:
    answers = [
        _problem.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(needs)
        for node in nodes
    ]
    for node, answer in zip(nodes, answers, strict=True):
        try:
            problem = ray.get(answer, timeout=_SECONDS)
        except (RayError, ImportError) as error:
            lines = [line for line in str(error).splitlines() if line.strip()] or [repr(error)]
            problem = (
                f"it cannot run raygenre: {lines[-1].strip()}; install the same version on every node, or send the "
                "code with `ray job submit --runtime-env`"
            )
        if problem:
            raise BatchError(f"node {node['NodeManagerAddress']} of the cluster: {problem}")


@ray.remote(num_cpus=0, max_retries=0)
def _problem(needs: Needs) -> str:
    return needs.problem()
