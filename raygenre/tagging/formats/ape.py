"""The genre in APEv2 tags: the item Genre of Monkey's Audio, WavPack, Musepack and TAK."""

import json
from collections.abc import Sequence
from pathlib import Path

from mutagen.apev2 import TEXT, APENoHeaderError, APETextValue, APEv2, APEValue

from raygenre.tagging.formats.base import CONFIDENCE, MODEL, FileTags, Provenance, Stored

_GENRE = "Genre"
_OURS = (_GENRE, MODEL, CONFIDENCE)


class ApeTags(FileTags):
    """The APEv2 tag of a file.

    Raises:
        APENoHeaderError: the file has no such tag, and `missing_ok` is False.
    """

    def __init__(self, path: Path, *, missing_ok: bool = True) -> None:
        try:
            self._tags = APEv2(path)
        except APENoHeaderError:
            if not missing_ok:
                raise
            self._tags = APEv2()

    @property
    def genres(self) -> tuple[str, ...]:
        item = self._tags.get(_GENRE)
        return tuple(value for value in item if value.strip()) if isinstance(item, APETextValue) else ()

    @property
    def provenance(self) -> dict[str, str]:
        return {name: str(self._tags[name]) for name in (MODEL, CONFIDENCE) if name in self._tags}

    def stored(self) -> Stored:
        keys = {key.lower(): key for key in self._tags}  # the file's own spelling of each key
        items = {name: (keys[name.lower()], self._tags[name]) for name in _OURS if name in self._tags}
        return {name: [json.dumps([key, item.kind, _text(item)])] for name, (key, item) in items.items()}

    def others(self) -> object:
        ours = {name.lower() for name in _OURS}
        return {key: (item.kind, _text(item)) for key, item in self._tags.items() if key.lower() not in ours}

    def set(self, genres: Sequence[str], provenance: Provenance | None) -> None:
        self._remove()
        self._tags[_GENRE] = APEValue("\0".join(genres), TEXT)
        for name, text in (provenance.texts() if provenance else {}).items():
            self._tags[name] = APEValue(text, TEXT)

    def restore(self, stored: Stored) -> None:
        self._remove()
        for entries in stored.values():
            for entry in entries:
                key, kind, text = json.loads(entry)
                self._tags[key] = APEValue(text if kind == TEXT else text.encode("latin-1"), kind)

    def save(self, path: Path) -> None:
        self._tags.save(path)

    def _remove(self) -> None:
        for name in _OURS:
            self._tags.pop(name, None)


def _text(item: "APETextValue") -> str:
    """Return the exact value of an item as text; one character per byte if it is not text."""
    return str(item) if item.kind == TEXT else bytes(item._write()).decode("latin-1")
