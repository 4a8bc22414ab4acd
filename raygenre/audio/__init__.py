"""Decode audio files to mono samples at 22 050 Hz, encode samples, and synthesise tracks."""

from raygenre.audio.decoding import (
    CONTAINERS,
    LONGEST_SECONDS,
    MIN_LENGTH,
    SAMPLE_RATE,
    SILENT_MESSAGE,
    SUFFIXES,
    WINDOW,
    AudioError,
    Window,
    decode,
    decode_middle,
    middle_window,
    stream_windows,
    windows,
)

__all__ = [
    "CONTAINERS",
    "LONGEST_SECONDS",
    "MIN_LENGTH",
    "SAMPLE_RATE",
    "SILENT_MESSAGE",
    "SUFFIXES",
    "WINDOW",
    "AudioError",
    "Window",
    "decode",
    "decode_middle",
    "middle_window",
    "stream_windows",
    "windows",
]
