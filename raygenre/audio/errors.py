"""The errors of audio files that cannot be used."""

from raygenre.errors import RaygenreError


class AudioError(RaygenreError, ValueError):
    """A file contains no usable audio. The message says why."""


class TooLongError(AudioError):
    """The audio lasts longer than the given limit."""


class FileTypeError(AudioError):
    """A file is of a type that is never used: neither a PNG nor a supported audio file. The message says which type."""
