"""Levels as the pictures of the dataset, 432 × 288 PNGs, and back."""

import io
import struct
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from raygenre.errors import RaygenreError
from raygenre.spectrogram.levels import COLUMNS, LEFT, N_MELS, RIGHT
from raygenre.spectrogram.magma import MAGMA

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
WIDTH, HEIGHT = 432, 288  # pixels
TOP, BOTTOM = 35, 252  # rows of the frame
# A frame line is 0.8 pixels wide and black, so a fifth of what lies under it shines through: white to the right and
# at the bottom, the spectrogram to the left and at the top. Agg, matplotlib's renderer, blends in integers.
_COVERED = 204  # of 255
_FRAME_ON_WHITE, _FRAME_CORNER = 51, 19
_OPAQUE = np.uint32(0xFF000000)  # a pixel is four bytes, red first, or one number
_PIXEL_OF_LEVEL = np.pad(MAGMA, ((0, 0), (0, 1)), constant_values=255).view("<u4")[:, 0]
# Pixel (x, y) of the interior shows mel band floor((252 − y)·128/217.44); in integers to be free of rounding.
_BAND_OF_ROW = (BOTTOM - np.arange(TOP + 1, BOTTOM)) * 12_800 // 21_744
_ROW_OF_BAND = np.array([np.flatnonzero(band == _BAND_OF_ROW)[0] for band in range(N_MELS)])


class PictureError(RaygenreError, ValueError):
    """An image is not a spectrogram drawn as the dataset's are."""


def to_image(levels: NDArray[np.uint8]) -> Image.Image:
    """Return the dataset's whole picture, 432×288 RGBA, of levels uint8 (128, 335), or (128, 333) without those
    under the frame, which are then taken to be as their neighbours.

    Raises:
        ValueError: levels are of another shape or type.
    """
    if levels.shape == (N_MELS, COLUMNS):
        levels = np.pad(levels, ((0, 0), (1, 1)), mode="edge")
    if levels.shape != (N_MELS, COLUMNS + 2) or levels.dtype != np.uint8:
        raise ValueError(f"levels must be uint8 (128, 333) or (128, 335), not {levels.dtype} {levels.shape}")
    picture = np.full((HEIGHT, WIDTH, 4), 255, dtype=np.uint8)
    axes = picture[TOP : BOTTOM + 1, LEFT : RIGHT + 1, :3]
    axes[1:-1, :-1] = MAGMA[levels[_BAND_OF_ROW]]  # (216, 335, 3)
    axes[0, :-1] = _under_frame(axes[1, :-1])
    axes[1:-1, 0] = _under_frame(axes[1:-1, 0])
    axes[0, 0] = 0
    axes[1:-1, -1] = axes[-1, 1:-1] = _FRAME_ON_WHITE
    axes[0, -1] = axes[-1, 0] = axes[-1, -1] = _FRAME_CORNER
    return Image.fromarray(picture)


def from_image(image: Image.Image) -> NDArray[np.uint8]:
    """Return the levels (128, 333) uint8 that a dataset-style picture holds, without loss.

    Raises:
        PictureError: another size, transparent, or an interior not drawn with 128 bands in magma's colours.
    """
    _check_size(*image.size)
    if image.mode not in ("RGB", "RGBA"):
        raise PictureError(f"the picture's mode is {image.mode}; the dataset's are RGBA")
    whole = np.asarray(image.convert("RGBA")).view("<u4")[..., 0]  # (288, 432)
    pixels = whole[TOP + 1 : BOTTOM, LEFT + 1 : RIGHT - 1]  # (216, 333)
    if pixels.min() < _OPAQUE:
        raise PictureError("the picture is transparent; the dataset's are opaque")
    found: NDArray[np.uint8] = _level_of_colour()[pixels[_ROW_OF_BAND] ^ _OPAQUE]  # (128, 333)
    if not np.array_equal(_PIXEL_OF_LEVEL[found][_BAND_OF_ROW], pixels):
        raise PictureError(
            "the picture's colours are not those of a spectrogram with 128 mel bands in magma, saved without loss"
        )
    return found


def read_png(source: Path | bytes) -> NDArray[np.uint8]:
    """Return the levels (128, 333) uint8 in a dataset-style PNG file, given by path or as its bytes.

    Raises:
        PictureError: the file is not a whole PNG, or not drawn as the dataset's are.
        OSError: the file cannot be opened.
    """
    data = source if isinstance(source, bytes) else source.read_bytes()
    if not data.startswith(PNG_SIGNATURE):
        raise PictureError("the file is not a PNG")
    try:
        if data[12:16] != b"IHDR":
            raise SyntaxError("Pillow would read on, and find a size that nobody has looked at")
        _check_size(*struct.unpack(">II", data[16:24]))  # before Pillow reads, let alone unpacks it
        # Unlike Image.open this has no limit of its own. A second header counts, and is looked at before it unpacks.
        return from_image(PngImagePlugin.PngImageFile(io.BytesIO(data)))
    except PictureError:
        raise
    except (OSError, SyntaxError, ValueError, LookupError, struct.error) as error:
        raise PictureError("the PNG is damaged; copy it again from where it came") from error


def _check_size(width: int, height: int) -> None:
    if (width, height) != (WIDTH, HEIGHT):
        raise PictureError(f"the picture is {width}×{height} pixels; the dataset's are {WIDTH}×{HEIGHT}")


def write_png(levels: NDArray[np.uint8]) -> bytes:
    """Return the PNG file of `to_image(levels)`, levels uint8 (128, 333) or (128, 335)."""
    to_image(levels).save(buffer := io.BytesIO(), format="PNG")
    return buffer.getvalue()


def _under_frame(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours as they look through the frame's black line."""
    return (colours.astype(np.int64) * 255 * (256 - _COVERED) // (255 * 256 + _COVERED)).astype(np.uint8)


@cache
def _level_of_colour() -> NDArray[np.uint8]:
    """The level of each colour without its alpha; 0 for all that are not magma's.

    16 MiB, of which magma's 256 places are all that a picture of the dataset's looks at: one look is a level.
    """
    levels = np.zeros(1 << 24, np.uint8)
    levels[_PIXEL_OF_LEVEL ^ _OPAQUE] = np.arange(256)
    return levels
