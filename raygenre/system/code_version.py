"""Where a result comes from: the version of the code, and of the libraries that numbers depend on."""

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("raygenre", "torch", "numpy", "ray", "optuna", "mlflow", "safetensors", "av", "soxr", "pillow")

CODE = "code"
"""The tag of a run that names the commit of the code that trained it."""


@dataclass(frozen=True)
class Commit:
    """A state of the code in Git.

    Attributes:
        sha: of the commit.
        branch: that it is on; empty for none.
        changed: whether files that Git knows differ from it, or new ones lie beside them.
    """

    sha: str
    branch: str
    changed: bool


def commit(folder: Path | None = None) -> Commit | None:
    """Return the commit that a folder's files are of, by default this package's; None if Git does not know them."""
    folder = folder or Path(__file__).parent
    # A folder inside somebody's repository is of that repository only if its files are kept there.
    if not _git(folder, "ls-files", "."):
        return None
    sha = _git(folder, "rev-parse", "HEAD")
    if not sha:
        return None
    branch = _git(folder, "rev-parse", "--abbrev-ref", "HEAD")
    changed = bool(_git(folder, "status", "--porcelain", "--", ":/"))
    return Commit(sha, "" if branch == "HEAD" else branch, changed)


@cache
def stamp() -> dict[str, str]:
    """Return what a training's values may depend on of the code, as tags of its run; found once a process."""
    known = versions()
    found = {f"version.{name}": known[name] for name in ("raygenre", "torch", "numpy") if name in known}
    if code := commit():
        found[CODE] = code.sha + (" and changes" if code.changed else "")
    return found


def versions() -> dict[str, str]:
    """Return the versions of the libraries that are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git(folder: Path, *arguments: str) -> str:
    """What Git says, or nothing if there is no Git, no repository or no answer."""
    command = shutil.which("git")
    if command is None:
        return ""
    try:
        answer = subprocess.run(
            [command, "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
