"""Install raygenre into .venv in editable mode, with the versions from constraints.txt.

Run from any folder, with the Python version that .venv should use:
    python3 scripts/install.py             # dependencies of searches and the endpoint
    python3 scripts/install.py test        # plus those of an extra in pyproject.toml: test, bench, dashboard or servers
    python3 scripts/install.py k8s         # only the few packages that `make k8s-check` and `make k8s-search` need

Packages are installed with uv, which downloads and unpacks in parallel. If uv is not on PATH, pip first installs the
pinned version of uv into .venv. If uv is unavailable or fails, pip installs the packages. Run the same command again to
continue an interrupted installation.
"""

from __future__ import annotations  # lets older Python versions reach the error message

import ast
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
PIP = [str(BIN / "python"), "-m", "pip"]
HEARTBEAT_S = 15

WITHOUT_PROJECT = {"k8s": "180 MB in .venv"}
"""Extras whose packages are installed without the project and its dependencies, each with its size."""

WITH_PROJECT = "up to 3 GB to download, 7 GB in .venv, a minute or two with uv and several with pip"

# pip's settings for package sources, and the corresponding environment variables of uv.
SOURCES = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS"}

# Lines of pip's or uv's output about single packages are hidden. Downloads of 100 MB or more are shown.
DETAIL = re.compile(
    r"\s*(([-+~]|Built|Building|Downloaded|Collecting|Obtaining|Requirement already|Using cached|Attempting|Found"
    r"|Uninstalling|Successfully uninstalled) |Downloading (?!.*\(\d{3}[\d.]* ?Mi?B))"
)


def main(extra: str = "") -> None:
    """Install the project with an optional extra, or only the packages of an extra in `WITHOUT_PROJECT`."""
    if sys.version_info < (3, 11):  # noqa: UP036
        sys.exit("raygenre needs Python 3.11 or newer: make PYTHON=python3.11 ...")
    if not is_complete():
        print("Creating .venv", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", ROOT / ".venv"], check=True)
    name = f"raygenre[{extra}]" if extra else "raygenre"
    title = f"{name}: {WITHOUT_PROJECT.get(extra, WITH_PROJECT)}"
    arguments = ["--constraint=constraints.txt", *packages(extra)]
    if not install_with_uv(title, arguments) and not install_with_pip(title, arguments):
        sys.exit(f"{name} was not installed: see the errors above")


def packages(extra: str) -> list[str]:
    """Return the arguments for pip and for uv that name the packages to install."""
    if extra not in WITHOUT_PROJECT:
        return [f"--editable=.[{extra}]" if extra else "--editable=."]
    import tomllib  # here, so that older Python versions reach the error message

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return list(project["optional-dependencies"][extra])


def install_with_uv(title: str, arguments: list[str]) -> bool:
    """Install with uv, if it is available, and return whether that succeeded."""
    uv = find_uv()
    if uv is None:
        return False
    print(f"Installing with uv {title}", flush=True)
    return run([uv, "pip", "install", f"--python={BIN / 'python'}", *arguments], uv_environment())


def install_with_pip(title: str, arguments: list[str]) -> bool:
    """Install with pip, and return whether that succeeded."""
    print(f"Installing with pip {title}", flush=True)
    return run([*PIP, "install", "--progress-bar=off", *([] if compiles_all() else ["--no-compile"]), *arguments])


def compiles_all() -> bool:
    """Return whether to compile all packages to bytecode.

    A search imports an eighth of all modules. Python compiles these modules when they are first imported, which takes
    6 s of CPU time; compiling all modules would take 45 s. If Python does not write bytecode, however, every process
    spends these 6 s again, so compiling all modules is worthwhile.
    """
    return bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))


def is_complete() -> bool:
    """Return whether .venv was created completely, that is, whether it contains pip, which is installed last."""
    try:
        return subprocess.run([*PIP, "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


def find_uv() -> str | None:
    """Return the path of uv, installing it into .venv if it is not on PATH; None if that fails."""
    on_path = shutil.which("uv")
    if on_path:
        return on_path
    installed = subprocess.run(
        [*PIP, "install", "--quiet", "--constraint=constraints.txt", "uv"], cwd=ROOT, capture_output=True, text=True
    )
    if installed.returncode:
        print(f"pip could not install uv: {installed.stderr.strip()}", flush=True)
        return None
    return str(BIN / "uv")


def uv_environment() -> dict[str, str]:
    """Return an environment in which uv uses the same package sources as pip.

    By default, uv ignores pip's configuration and would bypass a company's mirror. The index strategy set here makes uv
    compare the versions in all indexes, as pip does, instead of using the first index that has the package. However, if
    several indexes have the same version, uv takes its files from the first of them, whereas pip takes the files that
    fit this machine best. The main index comes first, because it has files for all machines.
    """
    listing = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=True).stdout
    settings = {key: ast.literal_eval(value) for key, _, value in (row.partition("=") for row in listing.splitlines())}
    environment = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    for setting, variable in SOURCES.items():
        for section in ("global", "install", ":env:"):  # later sections override earlier ones
            if value := settings.get(f"{section}.{setting}"):
                environment[variable] = ("," if variable == "UV_FIND_LINKS" else " ").join(value.split())
    if "UV_INDEX" in environment:
        environment.setdefault("UV_DEFAULT_INDEX", default_index())
        environment["UV_INDEX"] = f"{environment['UV_DEFAULT_INDEX']} {environment['UV_INDEX']}"
    if compiles_all():
        environment["UV_COMPILE_BYTECODE"] = "1"
    return environment | os.environ


def default_index() -> str:
    """Return the index that pip uses if none is configured."""
    code = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    return subprocess.run([PIP[0], "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def run(command: list[str], environment: dict[str, str] | None = None) -> bool:
    """Run a command, print its progress without details, and return whether it succeeded."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with process, heartbeat():
        assert process.stdout
        for line in process.stdout:
            if not DETAIL.match(line):
                print(line[:200].rstrip(), flush=True)
    return process.returncode == 0


@contextmanager
def heartbeat() -> Iterator[None]:
    """Print the elapsed time at intervals, because no output appears while a 1 GB package is unpacked."""
    done, started = threading.Event(), time.monotonic()

    def beat() -> None:
        while not done.wait(HEARTBEAT_S):
            print(f"... {time.monotonic() - started:.0f} s", flush=True)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
