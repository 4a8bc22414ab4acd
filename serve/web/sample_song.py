"""Writes the page's sample song: three synthetic genres, one after another.

Run, from the project's folder:
    python -m serve.web.sample_song
"""

import numpy as np

from raygenre.audio.decoding import SAMPLE_RATE
from raygenre.audio.encoding import encode
from raygenre.audio.synthesis import synthesise
from serve.web.pages import PAGE

FILE = PAGE / "sample.mp3"
GENRES = ("bells", "chiptune", "storm")
BIT_RATE = 24_000  # bit/s


def main() -> None:
    """Write the file."""
    samples = np.concatenate([synthesise(genre, seed=9) for genre in GENRES])
    FILE.write_bytes(encode(samples, "mp3", "libmp3lame", rate=SAMPLE_RATE, bit_rate=BIT_RATE))


if __name__ == "__main__":
    main()
