"""The code that produced a result: its Git commit and the versions of libraries."""

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("raygenre", "torch", "numpy", "ray", "optuna", "mlflow", "safetensors", "av", "soxr", "pillow")

CODE = "code"
"""Tag of a run: the commit of the code that trained it."""


@dataclass(frozen=True)
class Commit:
    """A state of the code in Git.

    Attributes:
        sha: of the commit.
        branch: the checked-out branch; empty for a detached HEAD.
        changed: whether there are uncommitted changes or untracked files.
    """

    sha: str
    branch: str
    changed: bool


def commit(folder: Path | None = None) -> Commit | None:
    """Return the commit that is checked out in a folder, by default this package's; None if Git does not track it."""
    folder = folder or Path(__file__).parent
    # A package installed inside another repository (such as in its .venv) is not tracked there.
    if not _git(folder, "ls-files", "."):
        return None
    sha = _git(folder, "rev-parse", "HEAD")
    if not sha:
        return None
    branch = _git(folder, "rev-parse", "--abbrev-ref", "HEAD")
    changed = bool(_git(folder, "status", "--porcelain", "--", ":/"))
    return Commit(sha, "" if branch == "HEAD" else branch, changed)


@cache
def version_tags() -> dict[str, str]:
    """Return tags for a training run: the code and library versions that its values may depend on.

    Cached, since every trial of a process has the same tags.
    """
    installed = versions()
    tags = {f"version.{name}": installed[name] for name in ("raygenre", "torch", "numpy") if name in installed}
    if code := commit():
        tags[CODE] = code.sha + (" and changes" if code.changed else "")
    return tags


def versions() -> dict[str, str]:
    """Return the versions of the installed libraries among `LIBRARIES`."""
    installed = {}
    for name in LIBRARIES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed


def _git(folder: Path, *arguments: str) -> str:
    """Return the output of a Git command; an empty string if there is no Git or no repository, or the command fails."""
    command = shutil.which("git")
    if command is None:
        return ""
    try:
        completed = subprocess.run(
            [command, "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return completed.stdout.strip()
