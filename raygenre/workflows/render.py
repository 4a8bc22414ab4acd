"""Render songs as images: a folder tree of songs becomes a data set in Kaggle's layout.

`FOLDER/<class>/song.mp3` becomes `OUT/images_original/<class>/song.png`. The class is the first folder below FOLDER, or
below `genres_original` if FOLDER is an unpacked Kaggle copy. GTZAN's `blues/blues.00000.wav` becomes
`blues/blues00000.png`, as in Kaggle's copy.

- Deeper folders, such as artist and album, are kept: `<class>/<artist>/<album>/song.png`. The data set loader reads
  the images of a class at any depth, and songs with the same name on two albums stay separate.
- Files in the same folder whose images would have the same name, such as `song.mp3` and `song.flac`, keep their
  suffixes: `song.mp3.png` and `song.flac.png`.
- A file directly in FOLDER has no class, so it is reported and not rendered.
- `raygenre.data.folder_scan` decides which files are audio. Images are not rendered.

An image is kept if it exists, is complete and is not older than its song, so repeating an interrupted call resumes it.
"""

import re
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from raygenre.data import track_files
from raygenre.data.folder_scan import FolderScan, scan
from raygenre.data.track_files import DataError
from raygenre.errors import reason_of
from raygenre.system import worker_pool
from raygenre.system.atomic_write import write_atomically


@dataclass(frozen=True)
class RenderTarget:
    """A song in a folder tree, and the path of its image."""

    song: Path
    image: Path


@dataclass(frozen=True)
class RenderResult:
    """The outcome of rendering a RenderTarget.

    Attributes:
        is_new: whether this call rendered the image; False if a complete image already existed or there was an error.
        error: the error message; empty if there was no error.
    """

    target: RenderTarget
    is_new: bool
    error: str


@dataclass(frozen=True)
class RenderPlan:
    """The songs to render.

    Attributes:
        targets: the songs and their images, in order.
        classless: audio files that are not in any class folder.
        scan: everything that the folder contains.
        leftover: images in the output that belong to none of the songs, for example because a song was moved.
    """

    targets: list[RenderTarget]
    classless: list[Path]
    scan: FolderScan
    leftover: list[Path]


def plan_renders(source: Path, output: Path) -> RenderPlan:
    """Return the songs to render.

    Raises:
        DataError: the source is not a folder, or none of its class folders contains audio.
    """
    if not source.is_dir():
        raise DataError(f"{source} is not a folder")
    root = track_files.kaggle_folder(source, [track_files.RECORDINGS]) or source
    found = scan(root)
    classless = [song for song in found.audio if song.parent == root]
    songs = [song for song in found.audio if song.parent != root]
    if not songs:
        problem = f"{root} contains none"
        if classless:
            problem = f"all audio files are directly in {root}; pass its parent folder"
        problem += "".join(f"\n  {path}: {reason}" for path, reason in found.unusable[: track_files.MAX_LISTED])
        raise DataError(f"rendering a data set requires <class>/ folders with audio files; {problem}")
    names = image_names([song.relative_to(root) for song in songs])
    targets = [RenderTarget(song, output / track_files.IMAGES / name) for song, name in zip(songs, names, strict=True)]
    leftover = set((output / track_files.IMAGES).rglob("*.png")) - {target.image for target in targets}
    return RenderPlan(targets, classless, found, sorted(leftover))


def render_all(targets: Sequence[RenderTarget], *, jobs: int) -> Generator[RenderResult, None, None]:
    """Render songs on several cores, and yield each result as soon as it is ready.

    Closing the iterator stops the work immediately and leaves no partial images; repeating the call resumes it.

    Args:
        jobs: number of worker processes.

    Raises:
        ValueError: `jobs` is not positive.
    """
    with closing(worker_pool.unordered(_render, targets, jobs=jobs)) as results:
        for target, result in results:
            if isinstance(result, bytes):
                # Only this process writes files, because workers may be killed at any moment.
                try:
                    target.image.parent.mkdir(parents=True, exist_ok=True)
                    write_atomically(target.image, result)
                    yield RenderResult(target, True, "")
                except OSError as error:
                    yield RenderResult(target, False, f"{target.image} cannot be written: {reason_of(error)}")
            else:
                yield RenderResult(target, False, reason_of(result) if result else "")


def _render(target: RenderTarget) -> bytes | None:
    """Render an image in a worker process; return None if the image already exists."""
    from raygenre.spectrogram.song import render  # imported here because it loads torch

    return None if is_up_to_date(target) else render(target.song)


def is_up_to_date(target: RenderTarget) -> bool:
    """Return whether a song's image is complete and not older than the song."""
    from raygenre import spectrogram

    try:
        if target.image.stat().st_mtime < target.song.stat().st_mtime:
            return False
        spectrogram.read_png(target.image)
    except (OSError, spectrogram.ImageError):
        return False
    return True


def image_names(songs: Sequence[Path]) -> list[Path]:
    """Return the image path of each song, `<class>/…/<name>.png`, without duplicates."""
    names = [song.with_name(f"{_stem(song)}.png") for song in songs]
    full_names = [song.with_name(f"{song.name}.png") for song in songs]
    # A full name may be the stem of a third file (song.mp3, song.flac, song.mp3.wav), so repeat until no names clash.
    while clashing := {name for name, count in Counter(names).items() if count > 1}:
        names = [full if name in clashing else name for name, full in zip(names, full_names, strict=True)]
    return names


def _stem(song: Path) -> str:
    number = re.fullmatch(rf"{re.escape(song.parts[0])}\.(\d{{5}})", song.stem)
    return f"{song.parts[0]}{number[1]}" if number else song.stem
