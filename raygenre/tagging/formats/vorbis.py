"""The genre in Vorbis comments: the field GENRE of FLAC, Ogg Vorbis, Opus and Speex."""

from collections.abc import Sequence
from pathlib import Path

from mutagen import FileType
from mutagen._vorbis import VCommentDict
from mutagen.flac import FLAC, Padding
from mutagen.oggflac import OggFLAC
from mutagen.oggopus import OggOpus
from mutagen.oggspeex import OggSpeex
from mutagen.oggvorbis import OggVorbis

from raygenre.tagging.formats.base import CONFIDENCE, MODEL, FileTags, Provenance, Stored, TagError

CLASSES: dict[str, type[FileType]] = {
    "flac": FLAC, "ogg/flac": OggFLAC, "ogg/opus": OggOpus, "ogg/speex": OggSpeex, "ogg/vorbis": OggVorbis
}  # fmt: skip
_OURS = ("genre", MODEL, CONFIDENCE)


class VorbisTags(FileTags):
    """The Vorbis comments of a file.

    Args:
        path: the file.
        kind: a key of `CLASSES`.

    Raises:
        TagError: the comments are not valid, so they would not be written back unchanged.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self._file = CLASSES[kind](path)
        if self._file.tags is None:
            self._file.add_tags()
        elif not _is_exact(self._tags):
            raise TagError("it has comments that are not valid UTF-8 text; correct them with a tag editor first")

    @property
    def genres(self) -> tuple[str, ...]:
        return tuple(value for key, value in self._pairs if key.lower() == "genre" and value.strip())

    @property
    def provenance(self) -> dict[str, str]:
        return {key.lower(): value for key, value in self._pairs if key.lower() in (MODEL, CONFIDENCE)}

    def stored(self) -> Stored:
        found = {name: [f"{key}={value}" for key, value in self._pairs if key.lower() == name] for name in _OURS}
        return {name: values for name, values in found.items() if values}

    def others(self) -> object:
        blocks = []
        if isinstance(self._file, FLAC):  # pictures, cue sheet, seek table, …
            ours = (Padding, VCommentDict)
            blocks = [
                (block.code, block.write()) for block in self._file.metadata_blocks if not isinstance(block, ours)
            ]
        return [pair for pair in self._pairs if pair[0].lower() not in _OURS], self._tags.vendor, blocks

    def set(self, genres: Sequence[str], provenance: Provenance | None) -> None:
        position = next((at for at, (key, _) in enumerate(self._pairs) if key.lower() == "genre"), len(self._pairs))
        self._remove()
        self._tags[position:position] = [("GENRE", genre) for genre in genres]
        texts = provenance.texts() if provenance else {}
        self._tags.extend([(name.upper(), text) for name, text in texts.items()])

    def restore(self, stored: Stored) -> None:
        self._remove()
        for entries in stored.values():
            for key, _, value in (entry.partition("=") for entry in entries):
                self._tags.append((key, value))

    def save(self, path: Path) -> None:
        self._file.save(path)

    @property
    def _tags(self) -> VCommentDict:
        tags: VCommentDict = self._file.tags
        return tags

    @property
    def _pairs(self) -> list[tuple[str, str]]:
        return list(self._tags)

    def _remove(self) -> None:
        for name in _OURS:
            if name in self._tags:
                del self._tags[name]


def _is_exact(tags: VCommentDict) -> bool:
    """Return whether mutagen would write the comments back exactly as they are in the file.

    mutagen replaces bytes that are not UTF-8, and drops comments without a valid name.
    """
    written = len(tags.write(framing=False))
    return tags._size in (written, written + 1) and not any("\ufffd" in value for _, value in tags)
