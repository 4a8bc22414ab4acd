"""Synthesise tracks in ten artificial genres for trying out the project without real music.

Each genre has its own tempo, rhythm, harmony and timbre. Each track has its own key, tempo, swing, noise level and
small mistakes, so two tracks of a genre differ as two real songs in the same style do. The samples are computed with
NumPy only and pass through the same spectrogram code as real audio. The same seed produces the same bytes.

Conventions: samples are mono float32 at 22 050 Hz. A bar has sixteen steps, or twelve in `waltz`. Pitches are in
semitones above the key note.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 22_050  # Hz
CLIP = 661_794  # samples: 30.0 s, the length of GTZAN's clips

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Style:
    """The properties shared by all tracks of a synthetic genre.

    Attributes:
        tempo: minimum and maximum beats per minute; a beat is four steps.
        kick, snare, hat: pattern of each drum for one bar, with one character per step; `x` means that the drum sounds.
        notes: the melody instrument's pattern for one bar, in the same notation.
        chords: the chord for each bar, as pitches that sound together.
        register: frequency of the key note before transposition, in Hz.
        harmonics: amplitude of each harmonic of a note, starting with the fundamental.
        attack, decay: time in s in which a note reaches its peak, and in which it then falls to 37 % of the peak.
        noise: amplitude of constant background noise.
    """

    tempo: tuple[float, float]
    kick: str
    snare: str
    hat: str
    notes: str
    chords: tuple[tuple[int, ...], ...]
    register: float
    harmonics: tuple[float, ...]
    attack: float
    decay: float
    noise: float


_SINE = (1.0, 0.1)
_ORGAN = (1.0, 0.8, 0.6, 0.5, 0.0, 0.4)
_SAW = tuple(1 / n for n in range(1, 25))
_SQUARE = tuple((n % 2) / n for n in range(1, 22))
_BELL = (1.0, 0.0, 0.6, 0.0, 0.0, 0.5, 0.0, 0.0, 0.4, 0.0, 0.0, 0.0, 0.3)
_STRING = tuple(0.75**n for n in range(14))
_REST = "................"

STYLES: dict[str, Style] = {
    "bells": Style((60, 80), _REST, _REST, _REST, "x...x..x..x.x...",
                   ((0, 7, 16), (5, 12, 21)), 523.0, _BELL, 0.002, 0.9, 0.0005),
    "chiptune": Style((140, 170), "x...x...x...x...", "....x.......x...", _REST, "x.x.x.x.x.x.x.x.",
                      ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14)), 440.0, _SQUARE, 0.002, 0.15, 0.001),
    "choir": Style((55, 70), _REST, _REST, _REST, "x.......x.......",
                   ((0, 4, 7, 12), (5, 9, 12, 17), (7, 11, 14, 19)), 220.0, _ORGAN, 0.35, 1.6, 0.002),
    "drone": Style((50, 60), _REST, _REST, _REST, "x...............",
                   ((0, 7), (0, 5)), 65.0, _SAW, 0.8, 4.0, 0.006),
    "machine": Style((120, 132), "x...x...x...x...", "....x.......x..x", "..x...x...x...x.", "x..x..x.x..x..x.",
                     ((0, 3, 7), (0, 3, 7), (8, 12, 15), (10, 14, 17)), 110.0, _SAW, 0.002, 0.12, 0.004),
    "march": Style((100, 116), "x.......x.......", "....x..x....xxxx", _REST, "x...x...x.x.x...",
                   ((0, 4, 7), (7, 11, 14), (0, 4, 7), (5, 9, 12)), 233.0, _SAW[:10], 0.03, 0.3, 0.001),
    "pluck": Style((90, 110), _REST, _REST, _REST, "x.xxx.x.x.xxx.x.",
                   ((0, 4, 7), (2, 5, 9), (7, 11, 14), (0, 4, 7)), 165.0, _STRING, 0.003, 0.3, 0.001),
    "shuffle": Style((75, 95), "x.....x.x.......", "....x.......x...", "x..xx..xx..xx..x", "x..x..x...x..x..",
                     ((0, 4, 10), (5, 9, 15), (0, 4, 10), (7, 11, 17)), 147.0, _ORGAN, 0.01, 0.25, 0.003),
    "storm": Style((170, 200), "x.x.x.x.x.x.x.x.", "..x...x...x...x.", "xxxxxxxxxxxxxxxx", "xxxxxxxxxxxxxxxx",
                   ((0, 7), (1, 8), (0, 7), (6, 13)), 82.0, _SQUARE, 0.001, 0.2, 0.05),
    "waltz": Style((80, 96), "x...........", "....x...x...", _REST, "x...x...x...",
                   ((0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7)), 330.0, _SINE, 0.05, 0.5, 0.001),
}  # fmt: skip
GENRES = tuple(STYLES)


def synthesise(genre: str, *, seed: int) -> Samples:
    """Return a track of a synthetic genre, float32 (661 794,) within [−1, 1].

    Raises:
        ValueError: there is no synthetic genre with this name.
    """
    if genre not in STYLES:
        raise ValueError(f"unknown synthetic genre {genre!r}; expected one of {', '.join(GENRES)}")
    style = STYLES[genre]
    random = np.random.default_rng([seed, GENRES.index(genre)])
    step = 15 / random.uniform(*style.tempo)  # s
    swing = random.uniform(0, 0.2) * step
    mistakes = random.uniform(0, 0.12)
    track = random.standard_normal(CLIP, dtype=np.float32)
    track *= style.noise * random.uniform(0.5, 3.0)
    drums = {
        "kick": (style.kick, _kick(), random.uniform(0.5, 1.0)),
        "snare": (style.snare, _burst(random, 0.12), random.uniform(0.2, 0.5)),
        "hat": (style.hat, _burst(random, 0.03), random.uniform(0.1, 0.25)),
    }
    voice = _Voice(style, key=int(random.integers(-5, 7)), random=random)
    steps = len(style.notes)
    for number in range(int(CLIP / SAMPLE_RATE / step) + 1):
        start = int((number * step + (swing if number % 2 else 0)) * SAMPLE_RATE)
        bar, position = divmod(number, steps)
        for pattern, sound, loudness in drums.values():
            if (pattern[position % len(pattern)] == "x") != (random.random() < mistakes / 4):
                _add(track, sound, start, loudness)
        if style.notes[position] == "x" and random.random() >= mistakes:
            for pitch in style.chords[bar % len(style.chords)]:
                _add(track, voice.note(pitch), start, random.uniform(0.2, 0.3))
    track *= random.uniform(0.3, 0.95) / np.abs(track).max()
    return np.asarray(track, dtype=np.float32)


class _Voice:
    """The melody instrument of a track; each pitch is computed only once."""

    def __init__(self, style: Style, *, key: int, random: np.random.Generator) -> None:
        self._style = style
        self._key_note = style.register * 2 ** (key / 12)
        self._tilt = random.uniform(0.85, 1.1)  # brightness; below 1, high harmonics are weaker than in `style`
        self._notes: dict[int, Samples] = {}

    def note(self, pitch: int) -> Samples:
        if pitch not in self._notes:
            style = self._style
            time = np.arange(int(min(4 * style.decay, 4.0) * SAMPLE_RATE), dtype=np.float32) / SAMPLE_RATE
            frequency = self._key_note * 2 ** (pitch / 12)
            sound = np.zeros_like(time)
            for number, amplitude in enumerate(style.harmonics, start=1):
                if amplitude and number * frequency < SAMPLE_RATE / 2:
                    phase = np.float32(2 * np.pi * number * frequency) * time
                    sound += np.float32(amplitude * self._tilt**number) * np.sin(phase)
            envelope = np.minimum(time / style.attack, 1) * np.exp(-time / style.decay)
            self._notes[pitch] = (sound * envelope).astype(np.float32)
        return self._notes[pitch]


def _kick() -> Samples:
    time = np.arange(int(0.2 * SAMPLE_RATE)) / SAMPLE_RATE
    sound: Samples = np.sin(2 * np.pi * (50 * time + 6 * (1 - np.exp(-time * 25)))).astype(np.float32)
    return sound * np.exp(-time * 14).astype(np.float32)


def _burst(random: np.random.Generator, decay: float) -> Samples:
    """Return a burst of noise whose amplitude falls to 37 % within `decay` s."""
    time = np.arange(int(4 * decay * SAMPLE_RATE)) / SAMPLE_RATE
    return (random.standard_normal(len(time)) * np.exp(-time / decay)).astype(np.float32)


def _add(track: Samples, sound: Samples, start: int, loudness: float) -> None:
    end = min(start + len(sound), len(track))
    if start < end:
        track[start:end] += np.float32(loudness) * sound[: end - start]
