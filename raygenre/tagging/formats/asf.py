"""The genre in ASF tags: the attribute WM/Genre of WMA files."""

import json
from collections.abc import Sequence
from pathlib import Path

from mutagen.asf import ASF, ASFUnicodeAttribute

from raygenre.tagging.formats.base import CONFIDENCE, MODEL, FileTags, Provenance, Stored

_GENRE = "WM/Genre"
_OURS = (_GENRE, MODEL, CONFIDENCE)


class AsfTags(FileTags):
    """The tags of an ASF file."""

    def __init__(self, path: Path) -> None:
        self._file = ASF(path)
        self._tags = self._file.tags

    @property
    def genres(self) -> tuple[str, ...]:
        return tuple(text for key, value in self._tags if key == _GENRE and (text := str(value)).strip())

    @property
    def provenance(self) -> dict[str, str]:
        return {key: str(value) for key, value in self._tags if key in (MODEL, CONFIDENCE)}

    def stored(self) -> Stored:
        stored: dict[str, list[str]] = {}
        for key, value in self._tags:
            if key in _OURS:
                stored.setdefault(key, []).append(json.dumps([str(value), value.language, value.stream]))
        return stored

    def others(self) -> object:
        # When mutagen writes the attributes, it groups them by object, so their order may change.
        others = [(key, value) for key, value in self._tags if key not in _OURS]
        return sorted(
            (key, type(value).__name__, repr(value.value), str(value.language), str(value.stream))
            for key, value in others
        )

    def set(self, genres: Sequence[str], provenance: Provenance | None) -> None:
        self._remove()
        self._tags.extend([(_GENRE, ASFUnicodeAttribute(genre)) for genre in genres])
        texts = provenance.texts() if provenance else {}
        self._tags.extend([(name, ASFUnicodeAttribute(text)) for name, text in texts.items()])

    def restore(self, stored: Stored) -> None:
        self._remove()
        for name, entries in stored.items():
            for text, language, stream in map(json.loads, entries):
                self._tags.append((name, ASFUnicodeAttribute(text, language=language, stream=stream)))

    def save(self, path: Path) -> None:
        self._file.save(path)

    def _remove(self) -> None:
        self._tags[:] = [(key, value) for key, value in self._tags if key not in _OURS]
