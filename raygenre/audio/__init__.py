"""Any audio file to mono samples at 22 050 Hz and back, and synthetic tracks."""

from raygenre.audio.decoding import (
    CONTAINERS,
    LONGEST_SECONDS,
    SAMPLE_RATE,
    SHORTEST,
    SILENT,
    SUFFIXES,
    WINDOW,
    AudioError,
    Window,
    decode,
    middle_window,
    windows,
)

__all__ = [
    "CONTAINERS",
    "LONGEST_SECONDS",
    "SAMPLE_RATE",
    "SHORTEST",
    "SILENT",
    "SUFFIXES",
    "WINDOW",
    "AudioError",
    "Window",
    "decode",
    "middle_window",
    "windows",
]
