"""The checks of `raygenre doctor`, from Python and packages to the champion.

No check creates or changes anything. Only the check of the champion imports torch, and it imports MLflow only if the
registry is on a server. No check imports Ray.
"""

from collections.abc import Callable, Iterator

from raygenre.errors import RaygenreError
from raygenre.system.check_packages import check_packages, check_python, install_command
from raygenre.system.finding import Finding
from raygenre.system.storage import Storage, resolve

PORTS = {
    8000: ("`raygenre serve`", "stop that program, or choose another port with `raygenre serve --port`"),
    5000: ("`raygenre ui`", "stop that program, or choose another port with `raygenre ui --port`"),
    8080: ("`raygenre dashboard`", "stop that program, or choose another port with `raygenre dashboard --port`"),
    8265: ("Ray's dashboard", "nothing: Ray takes the next free port"),
}
"""The default ports, each with the program that uses it and what to do if the port is in use."""


def examine(folder: str | None = None, tracking_uri: str | None = None) -> Iterator[Finding]:
    """Run all checks, quick ones first, and yield each finding as soon as it is known.

    Args:
        folder: the storage; see `resolve`.
        tracking_uri: the MLflow server; see `resolve`.
    """
    yield check_python()
    yield check_packages()
    yield from _guarded("machine", _check_machine)
    try:
        storage = resolve(folder, tracking_uri)
    except RaygenreError as error:
        yield Finding("storage", "problem", str(error), "choose another with --storage or RAYGENRE_STORAGE")
        yield from _guarded("ports", _check_ports)
        return
    yield from _guarded("storage", lambda: _check_storage(storage))
    yield from _guarded("ports", _check_ports)
    tracking = list(_guarded("MLflow", lambda: _check_tracking(storage)))
    yield from tracking
    if any(finding.status == "problem" for finding in tracking):
        yield Finding("champion", "warning", "not checked, because MLflow cannot be read", "fix that problem first")
        return
    yield from _guarded("champion", lambda: _check_champion(storage))


def _guarded(check: str, run: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield the findings of a check, or a problem if a package cannot be imported."""
    try:
        yield from run()
    except ImportError as error:
        yield Finding(
            check, "problem", f"not checked, because a package cannot be imported: {error}", install_command()
        )


def _check_machine() -> Iterator[Finding]:
    from raygenre.system.check_machine import check_gpu, check_memory, check_processor, check_ray_folder

    yield check_processor()
    yield check_gpu()
    yield check_memory()
    yield check_ray_folder()


def _check_ports() -> Iterator[Finding]:
    from raygenre.system.check_machine import check_free_port

    for port, (purpose, remedy) in PORTS.items():
        yield check_free_port(port, purpose, remedy)


def _check_storage(storage: Storage) -> Iterator[Finding]:
    from raygenre.system.check_machine import check_disk
    from raygenre.system.check_storage import check_storage

    yield check_storage(storage)
    yield check_disk(storage.root)


def _check_tracking(storage: Storage) -> Iterator[Finding]:
    from raygenre.registry.embedded import SCHEMAS
    from raygenre.tracking.check_server import check_tracking

    yield check_tracking(storage, SCHEMAS)


def _check_champion(storage: Storage) -> Iterator[Finding]:
    from raygenre.registry.check_champion import check_champion
    from raygenre.tracking.server import Server

    yield check_champion(Server(storage))
