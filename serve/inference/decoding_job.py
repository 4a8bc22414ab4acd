"""A file being decoded for a request that may end at any time."""

import threading
from collections.abc import Callable

from serve.inference.decoder_process import DecoderProcess

OnAudio = Callable[[float], object]


class ClientDisconnectedError(Exception):
    """The request has ended: its client disconnected, or its time limit was reached."""


class DecodingJob:
    """A job that processes one file, and the process that decodes the file.

    Attributes:
        on_audio: function to call with the duration, in s, of each piece of audio that has been decoded.
    """

    def __init__(self, on_audio: OnAudio) -> None:
        self.on_audio = on_audio
        self._lock = threading.Lock()
        self._has_ended = False
        self._process: DecoderProcess | None = None

    def check(self) -> None:
        """Check that the request still needs the result.

        Raises:
            ClientDisconnectedError: the request has ended.
        """
        if self._has_ended:
            raise ClientDisconnectedError

    def assign(self, process: DecoderProcess | None) -> None:
        """Set the process that decodes the file, or None once it has finished.

        Raises:
            ClientDisconnectedError: the request has ended.
        """
        with self._lock:
            self._process = process
            self.check()

    def end(self) -> None:
        """Mark the request as ended, whether or not it was answered, and kill the process if it is still decoding."""
        with self._lock:
            self._has_ended = True
            if self._process:
                self._process.kill()
