"""The old version of a file is restored from the new version and the stored difference."""

import io
from pathlib import Path

import numpy as np
import pytest

from raygenre.tagging.difference import Step, difference, reconstruct

GENERATOR = np.random.default_rng(0)
AUDIO = GENERATOR.bytes(100_000)


def restored(old: bytes, new: bytes, folder: Path) -> list[Step]:
    """Check that the old bytes can be restored, and return the difference."""
    (folder / "old").write_bytes(old)
    (folder / "new").write_bytes(new)
    steps = difference(folder / "old", folder / "new")
    buffer = io.BytesIO()
    reconstruct(io.BytesIO(new), steps, buffer)
    assert buffer.getvalue() == old
    return steps


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"", b""),
        (b"", AUDIO),
        (AUDIO[:10], b""),
        (AUDIO, AUDIO),
        (b"tag" + AUDIO, b"another tag" + AUDIO),
        (AUDIO + b"tag", AUDIO),
        (b"head" + AUDIO + b"tail", b"longer head" + AUDIO + b"longer tail"),
        (AUDIO[:5000] + b"old" + AUDIO[5000:], AUDIO[:5000] + bytes(300) + AUDIO[5000:]),
        (b"title" + AUDIO[:9000] + b"genre" + AUDIO[9000:], b"genres" + b"title" + AUDIO[:9000] + AUDIO[9000:]),
    ],
)
def test_the_old_bytes_are_restored_from_a_small_difference(old: bytes, new: bytes, tmp_path: Path) -> None:
    steps = restored(old, new, tmp_path)
    assert sum(len(step) for step in steps if isinstance(step, str)) < 100


def test_renumbered_pages_give_a_small_difference(tmp_path: Path) -> None:
    """Tagging may renumber the pages of an Ogg file, and each page has a number and a checksum."""
    pages = [AUDIO[start : start + 4000] for start in range(0, len(AUDIO), 4000)]
    old, new = (
        head + b"".join(b"OggS" + GENERATOR.bytes(8) + page for page in pages) for head in (b"short", b"longer" * 9)
    )
    steps = restored(old, new, tmp_path)
    assert sum(len(step) for step in steps if isinstance(step, str)) < len(pages) * 40


def test_any_two_files_are_restored(tmp_path: Path) -> None:
    for _ in range(30):
        pieces = [GENERATOR.bytes(int(size)) for size in GENERATOR.integers(0, 400, size=6)]
        old, new = (b"".join(pieces[int(at)] for at in GENERATOR.integers(0, 6, size=8)) for _ in range(2))
        restored(old, new, tmp_path)


def test_a_difference_of_another_file_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        reconstruct(io.BytesIO(b"short"), [(0, 100)], io.BytesIO())
