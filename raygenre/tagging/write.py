"""Write genres into a file atomically, after checking and logging the change."""

import os
from collections.abc import Sequence
from pathlib import Path

from raygenre.system.hashing import sha256_of
from raygenre.tagging.difference import difference
from raygenre.tagging.formats.base import Provenance, Stored, TagError, mutagen_errors
from raygenre.tagging.log import Record, TagLog
from raygenre.tagging.open_tags import open_tags
from raygenre.tagging.replacement import replacement
from raygenre.tagging.streams import stream_digest


def write_genres(
    path: Path, genres: Sequence[str], log: TagLog, *, present: Sequence[str], provenance: Provenance | None = None
) -> Record:
    """Write genres into a file, or into the target of a symbolic link, and return the log's record.

    Args:
        genres: the values to write.
        present: the genres that the file had when the decision was made.
        provenance: the provenance to write with the genres; None removes any earlier provenance.

    Raises:
        LogError: the log cannot be written.
        OSError: the file cannot be read or replaced; it is unchanged.
        TagError: the file cannot be written for another reason, for example because other tags would change; it is
            unchanged.
    """
    path = Path(os.path.realpath(path))
    with replacement(path) as copy:
        tags = open_tags(copy)
        if tags.genres != tuple(present):
            raise TagError("its genre was changed in the meantime; run the command again")
        was = tags.stored()
        tags.set(genres, provenance)
        with mutagen_errors("its tags cannot be written"):
            tags.save(copy)
        check_unchanged(path, copy)
        again = open_tags(copy)
        texts = provenance.texts() if provenance else {}
        if again.genres != tuple(genres) or again.provenance != texts:
            raise TagError(f"its format cannot store the genre {', '.join(genres)}; nothing was written")
        record = Record(
            file=str(path),
            genres=list(genres),
            was=was,
            became=again.stored(),
            old_sha256=sha256_of(path),
            new_sha256=sha256_of(copy),
            steps=difference(path, copy),
        )
        log.append(record)
    return record


def restore_frames(path: Path, was: Stored) -> None:
    """Restore the frames that raygenre changed in a file whose other tags have been changed since.

    Raises:
        OSError: the file cannot be read or replaced; it is unchanged.
        TagError: the file cannot be written for another reason; it is unchanged.
    """
    with replacement(path) as copy:
        tags = open_tags(copy)
        tags.restore(was)
        with mutagen_errors("its tags cannot be written"):
            tags.save(copy)
        check_unchanged(path, copy)
        if open_tags(copy).stored() != was:
            raise TagError("its earlier genre cannot be restored exactly; it is unchanged")


def check_unchanged(path: Path, copy: Path) -> None:
    """Check that a copy has the same audio as its file, and the same tags except for those being written.

    Raises:
        TagError: they differ.
    """
    if open_tags(copy).others() != open_tags(path).others():
        raise TagError("writing the genre would change its other tags; nothing was written")
    if stream_digest(copy) != stream_digest(path):
        raise TagError("writing the genre would change its audio; nothing was written")
