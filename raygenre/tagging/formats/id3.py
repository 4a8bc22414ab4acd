"""The genre in ID3 tags: the frame TCON of MP3, WAV, AIFF and TTA, and ID3v1.

A tag keeps its version; a new tag is ID3v2.4, which supports several values. All other frames are written back as the
bytes that were read, including frames that mutagen does not recognise. ID3v2.2 is the exception: mutagen writes it as
2.3.
"""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mutagen.aiff import AIFF
from mutagen.apev2 import APENoHeaderError
from mutagen.id3 import ID3, TCON, TXXX, Encoding, Frames, ID3NoHeaderError
from mutagen.wave import WAVE

from raygenre.tagging.formats.ape import ApeTags
from raygenre.tagging.formats.base import CONFIDENCE, MODEL, FileTags, Provenance, Stored, TagError

_V1, _V1_SIZE = "ID3v1 genre", 128
_APE = "APEv2 "  # an MP3 file may also have an APEv2 tag
_NO_GENRE = 255  # in ID3v1


class _KeepRaw(dict[str, Any]):
    """A mapping in which no frame type is ever found, so that mutagen keeps frames as bytes instead of parsing them.

    It still contains the frames' names, from which mutagen determines how their sizes are written.
    """

    def __getitem__(self, name: str) -> Any:
        raise KeyError(name)


class Id3Tags(FileTags):
    """The ID3 tags of a file.

    Args:
        path: the file.
        container: `mp3` or `tta` (the tag comes first), `wav` or `aiff` (the tag is a chunk).
    """

    def __init__(self, path: Path, container: str) -> None:
        self._container = container
        in_chunk = container in ("wav", "aiff")
        self._v1 = b"" if in_chunk else _id3v1(path)
        self._parsed = self._load(path, load_v1=not in_chunk) or ID3()
        self._raw: Any = self._load(path, known_frames=_KeepRaw(Frames), translate=False, load_v1=False)
        version = 4 if self._raw is None else self._raw.version[1]  # an object without parsed frames is falsy
        self._version = 3 if version == 2 else version
        # ID3v2.2 frames have different names and sizes. Frames in an unsynchronised ID3v2.4 tag may depend on the tag's
        # header.
        keeps_raw = self._raw is not None and version > 2 and not (version == 4 and self._raw.f_unsynch)
        self._tags: Any = self._raw if keeps_raw else self._loaded_to_convert(path)
        self._ape = _ape_tags(path) if not in_chunk else None
        self._ape_changed = False

    @property
    def genres(self) -> tuple[str, ...]:
        frame = self._parsed.get("TCON")
        own = tuple(genre for genre in frame.genres if genre.strip()) if frame else ()
        return own or (self._ape.genres if self._ape else ())

    @property
    def provenance(self) -> dict[str, str]:
        found = {name: self._parsed.get(f"TXXX:{name}") for name in (MODEL, CONFIDENCE)}
        return {name: str(frame) for name, frame in found.items() if frame}

    def stored(self) -> Stored:
        stored = {}
        if self._raw is not None:
            version = self._raw.version[1]
            for name in ("TCON", MODEL, CONFIDENCE):
                if frames := [raw for raw in self._raw.unknown_frames if _is_frame(raw, name)]:
                    stored[name] = [f"2.{version} {base64.b64encode(raw).decode()}" for raw in frames]
        if self._v1:
            stored[_V1] = [str(self._v1[-1])]
        ape = self._ape.stored() if self._ape else {}
        return stored | {f"{_APE}{name}": list(values) for name, values in ape.items()}

    def others(self) -> object:
        ours = ("TCON", f"TXXX:{MODEL}", f"TXXX:{CONFIDENCE}")
        frames = {key: repr(frame) for key, frame in self._parsed.items() if key not in ours}
        return frames, sorted(self._parsed.unknown_frames), self._v1[:-1], self._ape and self._ape.others()

    def set(self, genres: Sequence[str], provenance: Provenance | None) -> None:
        self._remove()
        self._tags.add(TCON(encoding=self._encoding(genres), text=list(genres)))
        for name, text in (provenance.texts() if provenance else {}).items():
            self._tags.add(TXXX(encoding=self._encoding([text]), desc=name, text=[text]))
        if self._v1:
            names = [genre.casefold() for genre in TCON.GENRES]
            first = genres[0].casefold()
            self._v1 = self._v1[:-1] + bytes([names.index(first) if first in names else _NO_GENRE])
        if self._ape and self._ape.genres:
            self._ape.set(genres, None)
            self._ape_changed = True

    def restore(self, stored: Stored) -> None:
        self._remove()
        for name in ("TCON", MODEL, CONFIDENCE):
            for entry in stored.get(name, ()):
                version, _, frame = entry.partition(" ")
                if version != f"2.{self._tags.version[1]}" or self._tags is not self._raw:
                    raise TagError(f"its tag was ID3v{version} and has been converted since")
                self._tags.unknown_frames.append(base64.b64decode(frame))
        if self._v1 and (byte := stored.get(_V1)):
            self._v1 = self._v1[:-1] + bytes([int(byte[0])])
        if self._ape:
            self._ape_changed = True
            ape = {name.removeprefix(_APE): values for name, values in stored.items() if name.startswith(_APE)}
            self._ape.restore(ape)

    def save(self, path: Path) -> None:
        self._tags.save(path, v2_version=self._version, v23_sep=None)
        if self._ape and self._ape_changed:  # before the ID3v1 tag, which must come last
            self._ape.save(path)
        if self._v1:  # mutagen has rewritten or removed the ID3v1 tag
            with path.open("r+b") as file:
                file.seek(0, 2)
                size = file.tell()
                file.seek(max(0, size - _V1_SIZE))
                if file.read(3) == b"TAG":
                    file.seek(size - _V1_SIZE)
                else:
                    file.seek(size)
                file.write(self._v1)

    def _load(self, path: Path, **options: Any) -> "ID3 | None":
        try:
            if self._container == "wav":
                return WAVE(path, **options).tags
            if self._container == "aiff":
                return AIFF(path, **options).tags
            return ID3(path, **options)
        except ID3NoHeaderError:
            return None

    def _loaded_to_convert(self, path: Path) -> ID3:
        """Return tags in the version to write, either converted from ID3v2.2 or ID3v1 or newly created."""
        tags = self._load(path, v2_version=self._version, load_v1=bool(self._v1) and self._raw is None)
        if tags is not None:
            return tags
        if self._container not in ("wav", "aiff"):
            return ID3()
        file = WAVE(path) if self._container == "wav" else AIFF(path)
        file.add_tags()
        new: ID3 = file.tags
        return new

    def _remove(self) -> None:
        for key in ("TCON", f"TXXX:{MODEL}", f"TXXX:{CONFIDENCE}"):
            self._tags.pop(key, None)
        self._tags.unknown_frames = [
            raw
            for raw in self._tags.unknown_frames
            if not any(_is_frame(raw, name) for name in ("TCON", MODEL, CONFIDENCE))
        ]

    def _encoding(self, texts: Sequence[str]) -> Encoding:
        """Return Latin-1, which every player reads, if it suffices; otherwise the version's Unicode encoding."""
        try:
            "".join(texts).encode("latin-1")
        except UnicodeEncodeError:
            return Encoding.UTF8 if self._version == 4 else Encoding.UTF16
        return Encoding.LATIN1


def _is_frame(raw: bytes, name: str) -> bool:
    """Return whether a frame is `TCON`, or the TXXX frame with this description."""
    if name == "TCON":
        return raw.startswith(b"TCON")
    body = raw[11:].removeprefix(b"\xff\xfe").removeprefix(b"\xfe\xff")
    return raw.startswith(b"TXXX") and body.startswith(
        tuple(f"{name}\0".encode(encoding) for encoding in ("latin-1", "utf-16-le", "utf-16-be"))
    )


def _id3v1(path: Path) -> bytes:
    """Return the ID3v1 tag at the end of a file; empty if there is none."""
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _V1_SIZE))
        tail = file.read()
    return tail if len(tail) == _V1_SIZE and tail.startswith(b"TAG") else b""


def _ape_tags(path: Path) -> ApeTags | None:
    try:
        return ApeTags(path, missing_ok=False)
    except APENoHeaderError:
        return None
