"""How much the spectrogram and the predicted genre change when a song comes as another file.

Conventions: each clip is compared with itself, drawn from its own samples: mono, 22 050 Hz, all of it up to 31 s and
the middle 30 s of a longer one. Differences are in levels, of 256.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
import torch
from numpy.typing import NDArray

from raygenre import audio
from raygenre.audio.encoding import encode
from raygenre.model.classifier import Classifier
from raygenre.spectrogram.levels import levels

Samples = NDArray[np.float32]
QUIETER = 10 ** (-12 / 20)  # −12 dB


def as_mp3(samples: Samples, bit_rate: int) -> Samples:
    """Through an MP3 of 44 100 Hz in stereo, as music libraries have them."""
    stereo = _stereo(samples, 44_100)
    return audio.decode(encode(stereo, "mp3", "libmp3lame", rate=44_100, bit_rate=bit_rate))


def as_stereo(samples: Samples, rate: int) -> Samples:
    """Through a WAV of 16 bit in stereo."""
    return audio.decode(encode(_stereo(samples, rate), "wav", "pcm_s16le", rate=rate))


CHANGES: Mapping[str, Callable[[Samples], Samples]] = {
    "MP3, 64 kbit/s": lambda samples: as_mp3(samples, 64_000),
    "MP3, 128 kbit/s": lambda samples: as_mp3(samples, 128_000),
    "MP3, 320 kbit/s": lambda samples: as_mp3(samples, 320_000),
    "44.1 kHz stereo": lambda samples: as_stereo(samples, 44_100),
    "48 kHz stereo": lambda samples: as_stereo(samples, 48_000),
    "12 dB quieter": lambda samples: samples * np.float32(QUIETER),
    "1 s later": lambda samples: np.roll(samples, audio.SAMPLE_RATE),  # the last second comes first
}


@dataclass(frozen=True)
class Reading:
    """One clip after one change.

    Attributes:
        change: a key of `CHANGES`.
        counts: int64 (256,), of how many levels of the spectrogram differ by 0, 1, ... 255.
        before: the genre predicted for the clip as it was.
        after: the genre predicted after the change.
    """

    path: Path
    change: str
    counts: NDArray[np.int64]
    before: str
    after: str


@dataclass(frozen=True)
class Summary:
    """All clips after one change.

    Attributes:
        mean: levels, over all clips.
        most: levels; 95 % of the differences are not larger.
        same: clips whose predicted genre stayed.
        clips: all of them.
    """

    change: str
    mean: float
    most: int
    same: int
    clips: int


def measure(classifier: Classifier, path: Path) -> list[Reading]:
    """Put a song through every change.

    Raises:
        ValueError: the file is not audio, or shorter than 3 s.
        OSError: the file cannot be opened.
    """
    clip = audio.middle_window(audio.decode(path)).samples
    drawn = [_drawn(clip), *(_drawn(audio.middle_window(change(clip)).samples) for change in CHANGES.values())]
    genres = [classifier.genres[best] for best in classifier.probabilities(np.stack(drawn)).argmax(axis=1)]
    return [
        Reading(path, change, _differences(drawn[0], changed), genres[0], genre)
        for change, changed, genre in zip(CHANGES, drawn[1:], genres[1:], strict=True)
    ]


def summaries(readings: Sequence[Reading]) -> Iterator[Summary]:
    """Sum the readings up, a change at a time."""
    for change in CHANGES:
        of_it = [reading for reading in readings if reading.change == change]
        if of_it:
            counts = np.sum([reading.counts for reading in of_it], axis=0)
            most = int(np.searchsorted(counts.cumsum(), 0.95 * counts.sum()))
            same = sum(reading.before == reading.after for reading in of_it)
            yield Summary(change, float(counts @ np.arange(256) / counts.sum()), most, same, len(of_it))


def _drawn(samples: Samples) -> NDArray[np.uint8]:
    return levels(torch.from_numpy(samples)).numpy()


def _differences(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.bincount(np.abs(one.astype(np.int64) - other).ravel(), minlength=256)


def _stereo(samples: Samples, rate: int) -> Samples:
    """(N,) at 22 050 Hz → (N', 2) at `rate` Hz, both channels alike."""
    resampled = soxr.resample(samples, audio.SAMPLE_RATE, rate, quality="VHQ").clip(-1, 1)
    return np.stack([resampled, resampled], axis=1).astype(np.float32)
