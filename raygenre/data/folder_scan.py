"""Sort a folder's files into music, known clutter, and files left out with a reason.

`raygenre predict`, `evaluate`, `render` and `--data` all use `scan`, so they find the same music in the same folder.

- A file with an audio suffix counts as music even if it is broken, because the problem is reported when the file is
  read. For a file with an unknown suffix, the content decides.
- A PNG is music if it has the size of the dataset's images. Other PNGs count as covers, unless the folder contains more
  spectrograms than audio files. In that case, they count as broken spectrograms and are reported when they are read.
- Known clutter, such as a NAS's `@eaDir` or `cover.jpg`, is only counted. Everything else is left out, and the reason
  is reported.
- Links to folders are followed. Each folder is read only once, so circular links are harmless.
"""

import os
import stat
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raygenre import audio
from raygenre.audio.file_type import HEAD_BYTES, PNG_SIGNATURE, detect
from raygenre.system.printable import printable

HIDDEN = "hidden"
"""The kind of clutter under which hidden files and folders are counted."""

_CLUTTER_FOLDERS = (
    *("@eaDir", "@tmp", "@sharebin", "@Recycle", "@Recently-Snapshot", "@__thumb", "#recycle", "#snapshot"),  # NAS
    *("lost+found", "System Volume Information", "$RECYCLE.BIN", "RECYCLER", "FOUND.000", "Network Trash Folder"),
    *("__MACOSX", "Temporary Items", "TheVolumeSettingsFolder", "Album Artwork"),  # macOS and iTunes
)
_CLUTTER_FILES = (".DS_Store", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r")
_CLUTTER_SUFFIXES = frozenset(
    {
        *(".bmp", ".gif", ".heic", ".ico", ".jfif", ".jpeg", ".jpg", ".svg", ".tif", ".tiff", ".webp"),  # covers
        *(".cue", ".m3u", ".m3u8", ".pls", ".wpl", ".xspf"),  # playlists
        *(".accurip", ".ffp", ".log", ".md5", ".nfo", ".par2", ".sfv", ".sha1", ".sha256"),  # of rips and downloads
        *(".csv", ".htm", ".html", ".ini", ".json", ".lrc", ".md", ".pdf", ".rtf", ".srt", ".txt", ".url", ".xml"),
        *(".asd", ".itc", ".itc2", ".itdb", ".itl", ".pek", ".pkf", ".plist", ".reapeaks", ".sfk"),  # music programs
        *(".lnk", ".torrent", ".webloc", ".yaml", ".yml"),
    }
)
# Music that cannot be decoded: MIDI and module files, encrypted files, and rare formats.
_OTHER_MUSIC = frozenset(
    {
        *(".kar", ".mid", ".midi", ".mod", ".s3m", ".sid", ".xm"),
        *(".aa", ".aax", ".aaxc", ".cda", ".la", ".m4p", ".ofr", ".ra", ".rm"),
    }
)
_FOLDER_LABELS = {name.casefold(): name for name in _CLUTTER_FOLDERS}
_FILE_LABELS = {name.casefold(): name.strip() for name in _CLUTTER_FILES}
_PNG_HEAD = 24  # bytes: signature, header chunk's length and name, width, height


@dataclass(frozen=True)
class FolderScan:
    """What a folder contains, at any depth.

    Attributes:
        audio: audio files, sorted. They may still turn out to be unreadable or damaged.
        images: spectrogram images, sorted. They may turn out to be damaged.
        clutter: name of a kind of clutter, such as `.jpg`, `@eaDir` or `hidden` → number of files or folders.
        left_out: (path, reason) for everything else, sorted: other files, and files and folders that cannot be read.
        may_be_music: the paths in `left_out` that may be or contain music. A command that leaves out any of them
            exits with status 1.
    """

    audio: tuple[Path, ...]
    images: tuple[Path, ...]
    clutter: Counter[str]
    left_out: tuple[tuple[Path, str], ...]
    may_be_music: frozenset[Path]

    @property
    def music(self) -> tuple[Path, ...]:
        """Audio files and spectrogram images, sorted."""
        return tuple(sorted([*self.audio, *self.images]))

    @property
    def unusable(self) -> tuple[tuple[Path, str], ...]:
        """The part of `left_out` that may be or contain music."""
        return tuple(item for item in self.left_out if item[0] in self.may_be_music)

    @property
    def others(self) -> tuple[tuple[Path, str], ...]:
        """The rest of `left_out`."""
        return tuple(item for item in self.left_out if item[0] not in self.may_be_music)


def scan(folder: Path) -> FolderScan:
    """Return what a folder contains. A folder that cannot be read or does not exist is itself listed in `left_out`."""
    result = _Scan()
    result.read(folder)
    images = list(result.spectrograms)
    if result.audio and len(result.audio) >= len(result.spectrograms):
        result.clutter[".png"] += len(result.other_pngs)
    else:
        images += result.other_pngs
    return FolderScan(
        audio=tuple(sorted(result.audio)),
        images=tuple(sorted(images)),
        clutter=+result.clutter,  # without zeros
        left_out=tuple(sorted(result.left_out)),
        may_be_music=frozenset(result.may_be_music),
    )


def scan_notes(clutter: Mapping[str, int], left_out: Sequence[tuple[Path, str]]) -> list[str]:
    """Return a line for the user that counts the ignored clutter, and one that counts the files that are left out."""
    suffixes = Counter(path.suffix.lower() or "without suffix" for path, _ in left_out)
    ignored = [f"ignored: {_counts_text(clutter)}"] if clutter else []
    return ignored + ([f"left out: {_counts_text(suffixes)} (not music; -v lists them)"] if suffixes else [])


def is_clutter_folder(name: str) -> bool:
    """Return whether folders with this name are hidden or known clutter."""
    return bool(_folder_label(name))


def _counts_text(counts: Mapping[str, int]) -> str:
    """Return counts by kind as text, the largest first: `12 .jpg, 1 Thumbs.db`."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {printable(kind)}" for kind, count in ordered)


class _Scan:
    """The files found so far, by kind."""

    def __init__(self) -> None:
        self.audio: list[Path] = []
        self.spectrograms: list[Path] = []
        self.other_pngs: list[Path] = []
        self.clutter: Counter[str] = Counter()
        self.left_out: list[tuple[Path, str]] = []
        self.may_be_music: set[Path] = set()

    def read(self, root: Path) -> None:
        """Read a folder and all folders below it.

        Links to folders are read last, so that a folder that can also be reached without a link is found at its real
        path.
        """
        folders, links = [root], list[Path]()
        done: set[tuple[int, int]] = set()  # (device, inode)
        while folders or links:
            folder = folders.pop() if folders else links.pop()
            try:
                status = folder.stat()
                if (status.st_dev, status.st_ino) in done:
                    self._leave_out(folder, "a link to a folder that was already read")
                    continue
                done.add((status.st_dev, status.st_ino))
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if not _is_folder(entry):
                            self._add_file(Path(entry.path), entry.name)
                        elif label := _folder_label(entry.name):
                            self.clutter[label] += 1
                        else:
                            (links if entry.is_symlink() else folders).append(Path(entry.path))
            except OSError as error:
                self._leave_out(folder, f"the folder cannot be read: {error.strerror or error}", may_be_music=True)

    def _add_file(self, path: Path, name: str) -> None:
        suffix = path.suffix.lower()
        if name.casefold() in _FILE_LABELS:
            self.clutter[_FILE_LABELS[name.casefold()]] += 1
        elif name.startswith("."):
            self.clutter[HIDDEN] += 1
        elif suffix in audio.SUFFIXES:
            self.audio.append(path)
        elif suffix in _CLUTTER_SUFFIXES:
            self.clutter[suffix] += 1
        else:
            self._inspect(path, suffix)

    def _inspect(self, path: Path, suffix: str) -> None:
        """Sort a file by its content."""
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # reading a device or a pipe may never end
                self._leave_out(path, "it is not a regular file")
                return
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
        except OSError as error:
            self._leave_out(path, f"the file cannot be read: {error.strerror or error}", may_be_music=True)
            return
        if _is_spectrogram(head):
            self.spectrograms.append(path)
        elif suffix == ".png":
            self.other_pngs.append(path)
        else:
            self._inspect_head(path, head, suffix)

    def _inspect_head(self, path: Path, head: bytes, suffix: str) -> None:
        try:
            kind = detect(head)
        except audio.AudioError as error:
            self._leave_out(path, str(error), may_be_music=suffix in _OTHER_MUSIC)
            return
        if kind == "audio":
            self.audio.append(path)
        else:
            self._leave_out(path, "it is a PNG but does not have the size of a spectrogram")

    def _leave_out(self, path: Path, reason: str, *, may_be_music: bool = False) -> None:
        self.left_out.append((path, reason))
        if may_be_music:
            self.may_be_music.add(path)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links; the error is reported when the entry is read as a file
        return False


def _folder_label(name: str) -> str:
    """Return the kind of clutter that a folder counts as, or an empty string if it is not clutter."""
    label = _FOLDER_LABELS.get(name.casefold(), "")
    return label or (HIDDEN if name.startswith(".") else "")


def _is_spectrogram(head: bytes) -> bool:
    """Return whether a file starts like a PNG with the size of the dataset's images."""
    if not head.startswith(PNG_SIGNATURE):
        return False
    from raygenre import spectrogram  # imported here because it loads torch

    size = struct.pack(">II", spectrogram.WIDTH, spectrogram.HEIGHT)
    return head[16:_PNG_HEAD] == size
