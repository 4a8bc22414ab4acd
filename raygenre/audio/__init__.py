"""Decode audio files to mono samples at 22 050 Hz, encode samples, and synthesise tracks."""

from raygenre.audio.decoding import (
    LONGEST_SECONDS,
    MIN_LENGTH,
    SAMPLE_RATE,
    SILENT_MESSAGE,
    WINDOW,
    Window,
    decode,
    decode_middle,
    middle_window,
    stream_windows,
    windows,
)
from raygenre.audio.errors import AudioError, FileTypeError, TooLongError
from raygenre.audio.file_type import CONTAINERS, SUFFIXES

__all__ = [
    "CONTAINERS",
    "LONGEST_SECONDS",
    "MIN_LENGTH",
    "SAMPLE_RATE",
    "SILENT_MESSAGE",
    "SUFFIXES",
    "WINDOW",
    "AudioError",
    "FileTypeError",
    "TooLongError",
    "Window",
    "decode",
    "decode_middle",
    "middle_window",
    "stream_windows",
    "windows",
]
