"""Compute spectrograms like GTZAN's, as 128 × 333 levels, and convert them to PNGs and back."""

from raygenre.audio.file_type import PNG_SIGNATURE
from raygenre.spectrogram.image import (
    HEIGHT,
    WIDTH,
    ImageError,
    from_image,
    read_png,
    to_image,
    write_png,
)
from raygenre.spectrogram.levels import COLUMNS, N_MELS, RECIPE, LevelStream, levels

__all__ = [
    "COLUMNS",
    "HEIGHT",
    "N_MELS",
    "PNG_SIGNATURE",
    "RECIPE",
    "WIDTH",
    "ImageError",
    "LevelStream",
    "from_image",
    "levels",
    "read_png",
    "to_image",
    "write_png",
]
