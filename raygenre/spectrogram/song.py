"""The spectrogram that represents a song in a data set, and its PNG."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from raygenre import audio, spectrogram
from raygenre.system.regular_file import check_regular


def is_image(source: Path | bytes) -> bool:
    """Return whether a file is a PNG, judging by its content.

    Raises:
        AudioError: the file is not a regular file.
        OSError: the file cannot be opened.
    """
    if isinstance(source, bytes):
        return source.startswith(spectrogram.PNG_SIGNATURE)
    check_regular(source, audio.AudioError)
    with source.open("rb") as file:
        return file.read(len(spectrogram.PNG_SIGNATURE)) == spectrogram.PNG_SIGNATURE


def middle_levels(path: Path, *, under_frame: bool = False) -> NDArray[np.uint8]:
    """Return the levels, uint8 (128, 333), that represent an audio file.

    If the file is longer than 31 s, only the middle 30 s are used.

    Args:
        under_frame: whether to return 335 columns, as described in `spectrogram.levels`.

    Raises:
        AudioError: the file is not a regular file, not audio, damaged, shorter than 3 s, or silent in the part that is
            used.
        OSError: the file cannot be opened.
    """
    check_regular(path, audio.AudioError)
    window = audio.decode_middle(path)
    levels = spectrogram.levels(torch.from_numpy(window.samples), under_frame=under_frame).numpy()
    if not levels.any():
        raise audio.AudioError(
            audio.SILENT_MESSAGE
            if window.start == 0
            else "the middle 30 s of the song, the only part used, are silent; remove the silence"
        )
    return levels


def render(path: Path) -> bytes:
    """Return a PNG of a song's spectrogram, made exactly like GTZAN's images.

    Raises:
        AudioError, OSError: as for `middle_levels`.
    """
    return spectrogram.write_png(middle_levels(path, under_frame=True))
