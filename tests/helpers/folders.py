"""Creates folders of files that are named like songs and spectrograms but have other content."""

import os
import struct
from collections.abc import Sequence
from pathlib import Path

PNG_HEAD = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 432, 288)
"""The first bytes of a PNG with the size of the dataset's images."""


def fill(root: Path, paths: Sequence[str]) -> Path:
    """Create files at the given paths below root, each containing its own path; PNGs begin with PNG_HEAD."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes((PNG_HEAD if path.lower().endswith(".png") else b"") + os.fsencode(path))
    return root
