"""Songs to pictures: one song, or a folder tree into a data set in the Kaggle layout.

`FOLDER/<class>/song.mp3` becomes `OUT/images_original/<class>/song.png`; the class is the first folder below FOLDER, or
below `genres_original` where FOLDER is an unpacked Kaggle copy. GTZAN's `blues/blues.00000.wav` becomes
`blues/blues00000.png`, as Kaggle's copy has it.

- Deeper folders, such as artist and album, are kept: `<class>/<artist>/<album>/song.png`. The data set's loader reads
  classes at any depth, and songs of the same name on two albums stay apart.
- Files of one folder that would have the same picture, `song.mp3` and `song.flac`, keep their suffixes:
  `song.mp3.png` and `song.flac.png`.
- A file directly in FOLDER has no class: it is not drawn, and named with that reason.
- Hidden files and folders are left out, and links to folders are not followed.

A picture that is there, whole and not older than its song is kept, so the same call goes on where another ended.
"""

import re
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from raygenre import audio, spectrogram
from raygenre.data import track_files
from raygenre.spectrogram.song import render
from raygenre.system import worker_pool
from raygenre.system.atomic_write import write_atomically


@dataclass(frozen=True)
class Drawing:
    """A song of a tree, and the picture to be made of it."""

    song: Path
    picture: Path


@dataclass(frozen=True)
class Drawn:
    """What came of a drawing.

    Attributes:
        new: whether the picture was drawn now, and not found there whole.
        problem: why there is none; empty if there is one.
    """

    drawing: Drawing
    new: bool
    problem: str


def plan(source: Path, output: Path) -> tuple[list[Drawing], list[Path]]:
    """List what there is to draw of a tree, in order, and the files that lie in no class folder.

    Raises:
        ValueError: the source is no folder, or no class folder of it holds audio.
    """
    if not source.is_dir():
        raise ValueError(f"{source} is not a folder")
    root = track_files.kaggle_folder(source, [track_files.RECORDINGS]) or source
    songs = sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in audio.SUFFIXES and not track_files.hidden(path.relative_to(root)) and path.is_file()
    )
    classless = [song for song in songs if song.parent == root]
    songs = [song for song in songs if song.parent != root]
    if not songs:
        where = f"lie directly in {root}; give the folder above it" if classless else f"are nowhere in {root}"
        raise ValueError(f"a data set is made of <class>/ folders with audio; here, audio files {where}")
    names = _names([song.relative_to(root) for song in songs])
    return [
        Drawing(song, output / track_files.IMAGES / name) for song, name in zip(songs, names, strict=True)
    ], classless


def draw(drawings: Sequence[Drawing], *, jobs: int) -> Generator[Drawn, None, None]:
    """Draw songs on several cores, and yield what came of each as it is done.

    Close the iterator to end it at once. Nothing half written is left then, and drawing the same again goes on.

    Raises:
        ValueError: `jobs` is not positive.
    """
    with closing(worker_pool.unordered(_drawn, drawings, jobs=jobs)) as results:
        for drawing, result in results:
            if isinstance(result, bytes):
                # Written by this process alone: workers may be killed at any moment.
                try:
                    drawing.picture.parent.mkdir(parents=True, exist_ok=True)
                    write_atomically(drawing.picture, result)
                    yield Drawn(drawing, True, "")
                except OSError as error:
                    yield Drawn(drawing, False, f"{drawing.picture} cannot be written: {error.strerror}")
            else:
                yield Drawn(drawing, False, str(result) or repr(result) if result else "")


def _drawn(drawing: Drawing) -> bytes | None:
    """In a worker: the picture, or nothing if it is there."""
    return None if _up_to_date(drawing) else render(drawing.song)


def _up_to_date(drawing: Drawing) -> bool:
    try:
        if drawing.picture.stat().st_mtime < drawing.song.stat().st_mtime:
            return False
        spectrogram.read_png(drawing.picture)
    except (OSError, spectrogram.PictureError):
        return False
    return True


def _names(songs: Sequence[Path]) -> list[Path]:
    """The picture of each song, `<class>/…/<name>.png`, no two alike."""
    names = [song.with_name(f"{_stem(song)}.png") for song in songs]
    whole = [song.with_name(f"{song.name}.png") for song in songs]
    # A whole name may be the stem of a third file (song.mp3, song.flac, song.mp3.wav), so until none is left.
    while clashing := {name for name, count in Counter(names).items() if count > 1}:
        names = [full if name in clashing else name for name, full in zip(names, whole, strict=True)]
    return names


def _stem(song: Path) -> str:
    number = re.fullmatch(rf"{re.escape(song.parts[0])}\.(\d{{5}})", song.stem)
    return f"{song.parts[0]}{number[1]}" if number else song.stem
