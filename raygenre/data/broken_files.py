"""The unusable files of a data folder: why they are skipped, and how many are allowed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from raygenre.data.track_files import MAX_LISTED, DataError, TrackFile
from raygenre.system.printable import exact, printable

MAX_BROKEN_SHARE = 0.05  # largest share of a data folder's files that may be broken if the folder is used for training


@dataclass(frozen=True)
class BrokenFile:
    """An unusable file that was skipped.

    Attributes:
        path: path relative to the data folder.
        reason: why the file is not usable.
        is_unread: whether the file could not be read, which may be different the next time.
    """

    path: str
    reason: str
    is_unread: bool = False


def relative_to(files: Iterable[tuple[Path, str]], source: Path) -> tuple[BrokenFile, ...]:
    """Return broken files with paths relative to the data folder, given (path, reason) pairs."""
    return tuple(BrokenFile(exact(path.relative_to(source)), reason) for path, reason in files)


def skipped(broken: Sequence[BrokenFile]) -> str:
    """Return a phrase that counts the skipped files, such as `2 unusable files were skipped`."""
    return "1 unusable file was skipped" if len(broken) == 1 else f"{len(broken)} unusable files were skipped"


def summary(broken: Sequence[BrokenFile], *, limit: int = MAX_LISTED) -> str:
    """Return one line per broken file, for at most `limit` files."""
    lines = [f"  {printable(file.path)}: {file.reason}" for file in broken[:limit]]
    if len(broken) > limit:
        lines.append(f"  and {len(broken) - limit} more")
    return "\n".join(lines)


def check_usable(
    files: Sequence[TrackFile],
    genres: Sequence[str],
    broken: Sequence[BrokenFile],
    source: Path,
    *,
    allow_broken: bool,
) -> None:
    """Check that enough of a data folder's files are usable.

    Args:
        files: the files that may become tracks.
        genres: the classes that have at least one usable file.
        broken: the files that are not usable.
        allow_broken: whether any number of files may be unusable, as long as at least two classes have a usable file.

    Raises:
        DataError: too many files are unusable, or all files of a class are.
    """
    place, listed = printable(source), summary(broken)
    if len(broken) > MAX_BROKEN_SHARE * len(files) and not allow_broken:
        raise DataError(
            f"{len(broken)} of {len(files)} files in {place} are unusable, more than {MAX_BROKEN_SHARE:.0%}:\n"
            f"{listed}\nRepair or remove them."
        )
    unusable = sorted({file.genre for file in files} - set(genres))
    if unusable and (not allow_broken or len(genres) < 2):
        raise DataError(
            f"no file of the class {printable(unusable[0])} in {place} is usable:\n{listed}\n"
            "Repair them, or remove the class folder."
        )
