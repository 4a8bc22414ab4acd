"""The code that produced a result: its Git commit and the library versions."""

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("raygenre", "torch", "numpy", "ray", "optuna", "mlflow", "safetensors", "av", "soxr", "pillow")

CODE = "code"
"""The name of the run tag that contains the commit of the training code."""


@dataclass(frozen=True)
class Commit:
    """The state of the code in Git.

    Attributes:
        sha: full hash of the commit.
        branch: the checked-out branch; empty for a detached HEAD.
        changed: whether there are uncommitted changes or untracked files.
    """

    sha: str
    branch: str
    changed: bool


def commit(folder: Path | None = None, *, within: str = ":/") -> Commit | None:
    """Return the commit checked out in a folder, by default this package's folder; None if Git does not track it.

    Args:
        within: Git path in which to look for changes; by default, the whole repository.
    """
    folder = folder or Path(__file__).parent
    # A package may be installed inside a different repository, for instance in its .venv, without being tracked.
    if not _git(folder, "ls-files", "."):
        return None
    sha = _git(folder, "rev-parse", "HEAD")
    if not sha:
        return None
    branch = _git(folder, "rev-parse", "--abbrev-ref", "HEAD")
    changed = bool(_git(folder, "status", "--porcelain", "--", within))
    return Commit(sha, "" if branch == "HEAD" else branch, changed)


@cache
def version_tags() -> dict[str, str]:
    """Return tags for a training run: the code and library versions that can affect its results.

    The tags are cached because they are the same for every trial in a process.
    """
    installed = versions()
    tags = {f"version.{name}": installed[name] for name in ("raygenre", "torch", "numpy") if name in installed}
    if code := commit():
        tags[CODE] = code.sha + (" and changes" if code.changed else "")
    return tags


def versions() -> dict[str, str]:
    """Return the version of each library in `LIBRARIES` that is installed."""
    installed = {}
    for name in LIBRARIES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed


def _git(folder: Path, *arguments: str) -> str:
    """Return a Git command's output; empty if Git is not installed or the command fails."""
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
