"""Everything that reads songs from folders refuses pipes before opening them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from raygenre.audio.errors import AudioError
from raygenre.errors import RaygenreError
from raygenre.inputs.levels import LEVELS
from raygenre.spectrogram import song
from raygenre.spectrogram.image import ImageError, read_png
from raygenre.tagging.formats.base import TagError
from raygenre.tagging.open_tags import open_tags, present_genre
from raygenre.tagging.streams import stream_digest


@pytest.mark.timeout(20)  # a reader that opens the pipe waits forever
@pytest.mark.parametrize(
    ("read", "error"),
    [
        (song.is_image, AudioError),
        (song.middle_levels, AudioError),
        (LEVELS.read, AudioError),
        (song.render, AudioError),
        (read_png, ImageError),
        (open_tags, TagError),
        (present_genre, TagError),
        (stream_digest, TagError),
    ],
)
def test_pipes_are_refused_without_waiting(
    read: Callable[[Path], object], error: type[RaygenreError], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe.mp3")
    with pytest.raises(error, match=r"^it is not a regular file$"):
        read(tmp_path / "pipe.mp3")
