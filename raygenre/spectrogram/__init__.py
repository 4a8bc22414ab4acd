"""Samples to 128 × 333 levels, exactly as GTZAN's images were made, and levels to PNG and back."""

from raygenre.spectrogram.image import (
    HEIGHT,
    PNG_SIGNATURE,
    WIDTH,
    PictureError,
    from_image,
    read_png,
    to_image,
    write_png,
)
from raygenre.spectrogram.levels import COLUMNS, N_MELS, RECIPE, levels

__all__ = [
    "COLUMNS",
    "HEIGHT",
    "N_MELS",
    "PNG_SIGNATURE",
    "RECIPE",
    "WIDTH",
    "PictureError",
    "from_image",
    "levels",
    "read_png",
    "to_image",
    "write_png",
]
