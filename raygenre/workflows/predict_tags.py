"""Compute the pretrained network's tags for many songs on all cores."""

import math
import stat
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from raygenre.pretrained.tags import BEST, NOTE, ranked
from raygenre.system import worker_pool
from raygenre.system.printable import exact

if TYPE_CHECKING:
    from raygenre.pretrained.features import SongFeatures
    from raygenre.pretrained.store import Pretrained

_FEW_SONGS = 2


@dataclass(frozen=True)
class TaggedSong:
    """The tags of a file, or the reason why there are no tags.

    Attributes:
        song: the tags and their times; None if there was an error.
        error: the error message; empty if there was no error.
    """

    path: Path
    song: "SongFeatures | None"
    error: str


def tag_songs(
    pretrained: "Pretrained", songs: Sequence[Path], *, jobs: int, longest_seconds: float = math.inf
) -> Generator[TaggedSong, None, None]:
    """Compute the tags of files on several cores, and yield the results in the order of the files.

    Closing the iterator stops the work immediately.

    Args:
        jobs: number of worker processes; 0 to choose it automatically.
        longest_seconds: maximum duration of a song in s; longer songs fail.
    """
    # Tagging a four-minute song takes 4 s, about as long as a worker needs to start.
    jobs = jobs or (1 if len(songs) <= _FEW_SONGS else min(len(songs), worker_pool.cores()))
    with closing(worker_pool.ordered(partial(_tag, pretrained, longest_seconds), songs, jobs=jobs)) as results:
        for path, result in results:
            yield TaggedSong(path, None, str(result) or repr(result)) if isinstance(result, Exception) else result


def json_record(result: TaggedSong, pretrained: "Pretrained") -> dict[str, object]:
    """Return a result as a JSON object: all tags of the song and of its windows, or the error."""
    about = pretrained.about
    source: dict[str, object] = {"model": about.model, "licence": about.licence, "note": NOTE}
    if not (song := result.song):
        return {"file": exact(result.path), "error": result.error} | source
    windows = [
        {"start": start, "end": end, "tags": dict(ranked(about.tags, shares))}
        for (start, end), shares in zip(song.times, song.tags, strict=True)
    ]
    tags = ranked(about.tags, song.song_tags)
    best = [tag for tag, _ in tags[:BEST]]
    return {"file": exact(result.path), "best": best, "tags": dict(tags), "windows": windows} | source


def _tag(pretrained: "Pretrained", longest_seconds: float, path: Path) -> TaggedSong:
    """Decode a file and compute its tags in a worker process."""
    from raygenre.pretrained.features import Extractor  # imported here because the commands check their arguments first

    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading from a device or a pipe may never end
            return TaggedSong(path, None, "it is not a regular file")
        return TaggedSong(path, Extractor(pretrained.network).read(path, longest_seconds=longest_seconds), "")
    except OSError as error:
        return TaggedSong(path, None, error.strerror or str(error))
    except ValueError as error:
        return TaggedSong(path, None, str(error))
