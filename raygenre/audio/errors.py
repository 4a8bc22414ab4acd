"""Errors about audio files that cannot be used."""

from typing import Self

from raygenre.errors import RaygenreError


class AudioError(RaygenreError, ValueError):
    """A file contains no usable audio. The message explains why."""


class TooLongError(AudioError):
    """The audio lasts longer than the given limit."""

    @classmethod
    def beyond(cls, longest_seconds: float) -> Self:
        """Return the error for audio that is longer than the given limit in s."""
        return cls(f"the audio is longer than the limit of {longest_seconds:g} s; split it into parts")


class FileTypeError(AudioError):
    """A file is neither a PNG nor a supported audio file. The message names the file's type if it is known."""
