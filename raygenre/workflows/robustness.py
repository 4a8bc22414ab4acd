"""How a song's spectrogram and genre change with encoding, rate, loudness and offset.

Conventions: a clip is the whole song if it lasts up to 31 s, otherwise its middle 30 s. The clip's spectrograms before
and after a change are compared. The first of them is computed from mono samples at 22 050 Hz. Differences are measured
in levels, of which there are 256.
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
    """Encode to stereo MP3 at 44 100 Hz, which is common in music libraries, and decode the result."""
    stereo = _stereo(samples, 44_100)
    return audio.decode(encode(stereo, "mp3", "libmp3lame", rate=44_100, bit_rate=bit_rate))


def as_stereo(samples: Samples, rate: int) -> Samples:
    """Encode to a 16-bit stereo WAV file, and decode the result."""
    return audio.decode(encode(_stereo(samples, rate), "wav", "pcm_s16le", rate=rate))


CHANGES: Mapping[str, Callable[[Samples], Samples]] = {
    "MP3, 64 kbit/s": lambda samples: as_mp3(samples, 64_000),
    "MP3, 128 kbit/s": lambda samples: as_mp3(samples, 128_000),
    "MP3, 320 kbit/s": lambda samples: as_mp3(samples, 320_000),
    "44.1 kHz stereo": lambda samples: as_stereo(samples, 44_100),
    "48 kHz stereo": lambda samples: as_stereo(samples, 48_000),
    "12 dB quieter": lambda samples: samples * np.float32(QUIETER),
    "1 s later": lambda samples: np.roll(samples, audio.SAMPLE_RATE),  # the last second becomes the first
}


@dataclass(frozen=True)
class Reading:
    """The effect of one change on one clip.

    Attributes:
        change: a key of `CHANGES`.
        counts: int64 (256,), number of spectrogram values that differ by 0, 1, ... 255 levels.
        before: genre predicted before the change.
        after: genre predicted after the change.
    """

    path: Path
    change: str
    counts: NDArray[np.int64]
    before: str
    after: str


@dataclass(frozen=True)
class Summary:
    """The effect of one change on all clips.

    Attributes:
        mean: mean difference in levels.
        most: 95th percentile of the differences, in levels.
        same: number of clips whose predicted genre did not change.
        clips: number of clips.
    """

    change: str
    mean: float
    most: int
    same: int
    clips: int


def measure(classifier: Classifier, path: Path) -> list[Reading]:
    """Apply every change to a song, and measure the effect of each change.

    Raises:
        AudioError: the file is not audio, or is shorter than 3 s.
        OSError: the file cannot be opened.
    """
    clip = audio.decode_middle(path).samples
    before = _levels(clip)
    after = [_levels(audio.middle_window(change(clip)).samples) for change in CHANGES.values()]
    first, *genres = [
        classifier.genres[best] for best in classifier.probabilities(np.stack([before, *after])).argmax(axis=1)
    ]
    return [
        Reading(path, change, _differences(before, changed), first, genre)
        for change, changed, genre in zip(CHANGES, after, genres, strict=True)
    ]


def summaries(readings: Sequence[Reading]) -> Iterator[Summary]:
    """Summarise the measurements for each change."""
    for change in CHANGES:
        of_change = [reading for reading in readings if reading.change == change]
        if of_change:
            counts = np.sum([reading.counts for reading in of_change], axis=0)
            most = int(np.searchsorted(counts.cumsum(), 0.95 * counts.sum()))
            same = sum(reading.before == reading.after for reading in of_change)
            yield Summary(change, float(counts @ np.arange(256) / counts.sum()), most, same, len(of_change))


def _levels(samples: Samples) -> NDArray[np.uint8]:
    return levels(torch.from_numpy(samples)).numpy()


def _differences(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.bincount(np.abs(before.astype(np.int64) - after).ravel(), minlength=256)


def _stereo(samples: Samples, rate: int) -> Samples:
    """Resample mono (N,) at 22 050 Hz to stereo (N', 2) at `rate` Hz, with two identical channels."""
    resampled = soxr.resample(samples, audio.SAMPLE_RATE, rate, quality="VHQ").clip(-1, 1)
    return np.stack([resampled, resampled], axis=1).astype(np.float32)
