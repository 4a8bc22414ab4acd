"""The genre in MP4 tags: the atom ©gen of M4A, M4B and MP4 files."""

import base64
from collections.abc import Sequence
from pathlib import Path

from mutagen.mp4 import MP4, AtomDataType, MP4FreeForm

from raygenre.tagging.formats.base import CONFIDENCE, MODEL, FileTags, Provenance, Stored

_GENRE = "\xa9gen"
_KEYS = {name: f"----:com.apple.iTunes:{name}" for name in (MODEL, CONFIDENCE)}


class Mp4Tags(FileTags):
    """The tags of an MP4 file. mutagen returns the genre numbers in the older gnre atom as ©gen."""

    def __init__(self, path: Path) -> None:
        self._file = MP4(path)
        if self._file.tags is None:
            self._file.add_tags()
        self._tags = self._file.tags

    @property
    def genres(self) -> tuple[str, ...]:
        return tuple(value for value in self._tags.get(_GENRE, []) if value.strip())

    @property
    def provenance(self) -> dict[str, str]:
        found = {name: self._tags.get(key) for name, key in _KEYS.items()}
        return {name: bytes(values[0]).decode("utf-8", "replace") for name, values in found.items() if values}

    def stored(self) -> Stored:
        stored: dict[str, list[str]] = {}
        if _GENRE in self._tags:
            stored[_GENRE] = list(self._tags[_GENRE])
        for name, key in _KEYS.items():
            if key in self._tags:
                values = self._tags[key]
                stored[name] = [f"{int(value.dataformat)} {base64.b64encode(value).decode()}" for value in values]
        return stored

    def others(self) -> object:
        ours = {_GENRE, *_KEYS.values()}
        return {key: repr(value) for key, value in self._tags.items() if key not in ours}, self._tags._failed_atoms

    def set(self, genres: Sequence[str], provenance: Provenance | None) -> None:
        self._remove()
        self._tags[_GENRE] = list(genres)
        for name, text in (provenance.texts() if provenance else {}).items():
            self._tags[_KEYS[name]] = [MP4FreeForm(text.encode(), AtomDataType.UTF8)]

    def restore(self, stored: Stored) -> None:
        self._remove()
        for name, values in stored.items():
            if name == _GENRE:
                self._tags[_GENRE] = list(values)
            else:
                parts = [value.split(" ") for value in values]
                self._tags[_KEYS[name]] = [
                    MP4FreeForm(base64.b64decode(data), AtomDataType(int(code))) for code, data in parts
                ]

    def save(self, path: Path) -> None:
        self._file.save(path)

    def _remove(self) -> None:
        for key in (_GENRE, *_KEYS.values()):
            self._tags.pop(key, None)
