"""Convert levels to GTZAN's spectrogram images, PNGs of 432 × 288 pixels, and back.

Conventions: levels are uint8 (128, 333), as `raygenre.spectrogram.levels` computes them. The conversion is lossless.
"""

import io
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from raygenre.audio.file_type import PNG_SIGNATURE
from raygenre.errors import RaygenreError
from raygenre.spectrogram.colour_map import MAGMA, OPAQUE, PIXELS, to_levels
from raygenre.spectrogram.levels import COLUMNS, LEFT, N_MELS, RIGHT
from raygenre.system.regular_file import check_regular

WIDTH, HEIGHT = 432, 288  # pixels
MAX_PNG_BYTES = 4_000_000  # maximum size of a file; its uncompressed pixels take up 0.5 MB
TOP, BOTTOM = 35, 252  # pixel rows of the axes' frame
# A frame line is black and 0.8 pixels wide, so it covers four fifths of each pixel under it. Without the line, these
# pixels would be white at the right and bottom edges, and part of the spectrogram at the left and top edges. Agg,
# matplotlib's renderer, blends colours with integer arithmetic.
_COVERED = 204  # coverage of such a pixel, out of 255
_FRAME_ON_WHITE, _FRAME_CORNER = 51, 19  # grey values
# Pixel (x, y) inside the axes shows mel band floor((252 − y)·128/217.44), computed in integers to avoid rounding.
_BAND_OF_ROW = (BOTTOM - np.arange(TOP + 1, BOTTOM)) * 12_800 // 21_744
_ROW_OF_BAND = np.array([np.flatnonzero(band == _BAND_OF_ROW)[0] for band in range(N_MELS)])
_REMEDY = "use a spectrogram from GTZAN or `raygenre render`, or use the audio file"


class ImageError(RaygenreError, ValueError):
    """An image is neither one of GTZAN's spectrograms nor in the same format."""


def to_image(levels: NDArray[np.uint8]) -> Image.Image:
    """Convert levels to a spectrogram image like those in GTZAN (RGBA, 432 × 288 pixels).

    Args:
        levels: uint8 (128, 335), or (128, 333) without the two columns under the frame, which are then filled with
            their neighbours' values.

    Raises:
        ValueError: levels have a different shape or type.
    """
    if levels.shape == (N_MELS, COLUMNS):
        levels = np.pad(levels, ((0, 0), (1, 1)), mode="edge")
    if levels.shape != (N_MELS, COLUMNS + 2) or levels.dtype != np.uint8:
        raise ValueError(f"levels must be uint8 (128, 333) or (128, 335), not {levels.dtype} {levels.shape}")
    pixels = np.full((HEIGHT, WIDTH, 4), 255, dtype=np.uint8)
    axes = pixels[TOP : BOTTOM + 1, LEFT : RIGHT + 1, :3]
    axes[1:-1, :-1] = MAGMA[levels[_BAND_OF_ROW]]  # (216, 335, 3)
    axes[0, :-1] = _under_frame(axes[1, :-1])
    axes[1:-1, 0] = _under_frame(axes[1:-1, 0])
    axes[0, 0] = 0
    axes[1:-1, -1] = axes[-1, 1:-1] = _FRAME_ON_WHITE
    axes[0, -1] = axes[-1, 0] = axes[-1, -1] = _FRAME_CORNER
    return Image.fromarray(pixels)


def from_image(image: Image.Image) -> NDArray[np.uint8]:
    """Return the levels, uint8 (128, 333), of a spectrogram image like those from `to_image`.

    Raises:
        ImageError: the image has a different size or mode, is transparent, or does not show 128 bands in magma's
            colours.
    """
    _check_size(*image.size)
    if image.mode not in ("RGB", "RGBA"):
        raise ImageError(f"the image's mode is {image.mode}, not RGB or RGBA; {_REMEDY}")
    whole = np.asarray(image.convert("RGBA")).view("<u4")[..., 0]  # (288, 432)
    pixels = whole[TOP + 1 : BOTTOM, LEFT + 1 : RIGHT - 1]  # (216, 333)
    if pixels.min() < OPAQUE:
        raise ImageError(f"the image is transparent; {_REMEDY}")
    levels = to_levels(pixels[_ROW_OF_BAND])  # (128, 333)
    if not np.array_equal(PIXELS[levels][_BAND_OF_ROW], pixels):
        raise ImageError(
            "the image's colours are not those of a losslessly saved spectrogram with 128 mel bands in the magma "
            f"colour map; {_REMEDY}"
        )
    return levels


def read_png(source: Path | bytes) -> NDArray[np.uint8]:
    """Return the levels, uint8 (128, 333), of a spectrogram image in a PNG file.

    Args:
        source: path or bytes of the file.

    Raises:
        ImageError: the file is not a regular file, not a PNG, damaged, or not a spectrogram like those from `to_image`.
        OSError: the file cannot be opened.
    """
    if isinstance(source, Path):
        check_regular(source, ImageError)
    data = source if isinstance(source, bytes) else _read_start(source)
    if len(data) > MAX_PNG_BYTES:
        raise ImageError(f"the PNG is larger than {MAX_PNG_BYTES / 1e6:g} MB, so it is not a spectrogram; {_REMEDY}")
    if not data.startswith(PNG_SIGNATURE):
        raise ImageError(f"the file is not a PNG; {_REMEDY}")
    try:
        if data[12:16] != b"IHDR":
            raise SyntaxError("the header is not the first chunk, so Pillow could find a size that was not checked")
        _check_size(*struct.unpack(">II", data[16:24]))  # checked before Pillow reads and decompresses the file
        # Unlike Image.open, PngImageFile has no size limit. If there is a second header, `from_image` checks its size
        # before the pixels are decompressed.
        return from_image(PngImagePlugin.PngImageFile(io.BytesIO(data)))
    except ImageError:
        raise
    except (OSError, SyntaxError, ValueError, LookupError, struct.error) as error:
        raise ImageError("the PNG is damaged; copy it again from its source") from error


def _read_start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_PNG_BYTES + 1)


def _check_size(width: int, height: int) -> None:
    if (width, height) != (WIDTH, HEIGHT):
        raise ImageError(f"the image is {width}×{height} pixels, not {WIDTH}×{HEIGHT}; {_REMEDY}")


def write_png(levels: NDArray[np.uint8]) -> bytes:
    """Return `to_image(levels)` as the bytes of a PNG file, for levels uint8 (128, 333) or (128, 335)."""
    to_image(levels).save(buffer := io.BytesIO(), format="PNG")
    return buffer.getvalue()


def write_plain_png(levels: NDArray[np.uint8]) -> bytes:
    """Return levels, uint8 (B, T), as a PNG of T × B pixels with the dataset's colours but without its frame."""
    image = Image.fromarray(levels[::-1])
    image.putpalette(MAGMA.tobytes())
    image.save(buffer := io.BytesIO(), format="PNG")
    return buffer.getvalue()


def _under_frame(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return colours as they appear under the frame's black line."""
    return (colours.astype(np.int64) * 255 * (256 - _COVERED) // (255 * 256 + _COVERED)).astype(np.uint8)
