"""Decodes audio in separate processes, which may crash and can be killed at any time.

Decoders are C code that parses untrusted files. A decoder process imports only what decoding needs (20 MB of memory,
0.3 s) and handles one file at a time. Its environment contains only what it needs to start: no keys and no server
addresses. If memory runs out, the kernel kills decoder processes first. The address space of each process is limited,
and a process kills itself if decoding a file takes longer than the client waits. Each process is replaced after a fixed
number of files, so that memory leaks in decoders do not accumulate.

Samples are sent while the file is being decoded, so neither process holds all samples in memory. The file itself is not
sent; the decoder process receives a descriptor of the file.

Messages are lines of JSON:
    to the process      {"rate": 22050, "longest_seconds": 1800, "timeout_seconds": 215}; one byte that carries
                        the descriptor precedes the line
    from the process    {"bytes": 524288}, followed by that many bytes of float32 samples at that rate; at the end,
                        {"bytes": 0}, or {"bytes": 0, "refused": "why", "is_too_long": false} for an unusable file
"""

import fcntl
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from raygenre.audio.blocks import SAMPLE_RATE, blocks
from raygenre.audio.errors import AudioError, TooLongError
from raygenre.errors import RaygenreError

MAX_FILES = 1000  # files that a process decodes before it is replaced
UNEXPECTED_ERROR = f"status {os.EX_DATAERR}"  # crash cause: an unexpected exception, including MemoryError

# Variables that the process inherits: program and library paths, thread counts, and the language.
_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LANG", "LC_ALL")
_MALLOC = {
    "MALLOC_ARENA_MAX": "2",  # otherwise, each of a decoder's threads maps 64 MB of address space for its arena
    # Memory is reused for the next samples. Returning it and mapping it again would take 1.5 ms of CPU time for a song
    # of 30 s.
    "MALLOC_MMAP_THRESHOLD_": "4194304",
    "MALLOC_TRIM_THRESHOLD_": "8388608",
}
_SPARE_BYTES = 1_000_000_000  # address space that a process may use beyond its initial size
_MAX_HEADER_BYTES = 10_000
_PIPE_BYTES = 1 << 20  # large enough for a block, so neither side waits for the other mid-block


class CrashError(RaygenreError, RuntimeError):
    """The process ended while decoding a file.

    Attributes:
        cause: name of the signal, or exit status.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(f"the decoder ended with {cause}")
        self.cause = cause


class DecoderProcess:
    """A decoder process, used by one thread at a time; other threads may only call `kill`.

    Attributes:
        pid: process id.
        is_spent: whether the process must be replaced because it has ended or has decoded `MAX_FILES` files.
    """

    def __init__(self) -> None:
        # This process may have imported modules from folders that are not on the default path of a new process.
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        environment |= {name: os.environ[name] for name in _VARIABLES if name in os.environ}
        environment |= _MALLOC
        self._to, files = socket.socketpair()  # unlike a pipe, it can also transfer descriptors
        with files:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "serve.inference.decoder_process"],
                stdin=files.fileno(),
                stdout=subprocess.PIPE,
                env=environment,
                start_new_session=True,  # Ctrl-C must reach only the parent
            )
        assert self._process.stdout is not None
        self._from = self._process.stdout
        with suppress(OSError, AttributeError):  # works only on Linux, and fails if the user has too many large pipes
            fcntl.fcntl(self._from.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._files = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_spent(self) -> bool:
        return self._files >= MAX_FILES or self._process.poll() is not None

    def decode(
        self, file: bytes | int, *, rate: int = SAMPLE_RATE, longest_seconds: float, timeout_seconds: float
    ) -> Generator[NDArray[np.float32], None, None]:
        """Decode a file block by block, as `raygenre.audio.blocks` does.

        If the caller stops before the last block, the process is ended.

        Args:
            file: the content of the file, or its descriptor, which is left open.
            rate: sample rate of the result, in Hz.
            longest_seconds: maximum duration of the audio, in s.
            timeout_seconds: time in s after which the process kills itself, even if its parent has died.

        Yields:
            blocks of samples, float32 (N,), at the given rate.

        Raises:
            AudioError: as in `raygenre.audio.blocks`.
            CrashError: the process ended, either on its own or because of `kill`.
        """
        self._files += 1
        header: dict[str, Any] = {"rate": rate, "longest_seconds": longest_seconds, "timeout_seconds": timeout_seconds}
        try:
            with nullcontext(file) if isinstance(file, int) else _descriptor(file) as descriptor:
                socket.send_fds(self._to, [b"\n"], [descriptor])
            self._to.sendall(_line(header))
            while True:
                header, samples = _read(self._from)
                if not samples:
                    break
                yield np.frombuffer(samples, dtype=np.float32)
        except (OSError, EOFError, ValueError) as error:
            self.end()
            raise CrashError(_cause(self._process.wait())) from error
        except BaseException:
            self.end()  # the rest of this reply would be mistaken for the reply to the next file
            raise
        if "refused" in header:
            raise (TooLongError if header["is_too_long"] else AudioError)(str(header["refused"]))

    def kill(self) -> None:
        """Kill the process, even while it is decoding."""
        self._process.kill()

    def end(self) -> None:
        """Kill the process and release its pipes."""
        self._process.kill()
        self._to.close()
        self._from.close()
        self._process.wait()


def main() -> None:
    """Decode files received through standard input, a Unix socket, until the socket is closed."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    # Replies go to a copy of standard output, because anything that libraries print would corrupt them.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    initial_bytes = _address_space()
    parent = socket.socket(fileno=0)
    requests = parent.makefile("rb")
    with suppress(EOFError, BrokenPipeError):
        while True:
            start, descriptors, _, _ = socket.recv_fds(parent, 1, 1)
            if not start:
                raise EOFError
            header = _header(requests)
            # SIGALRM ends the process even while it runs C code.
            signal.setitimer(signal.ITIMER_REAL, header["timeout_seconds"])
            _limit_address_space(initial_bytes + _SPARE_BYTES)
            reply: dict[str, Any] = {"bytes": 0}
            try:
                with os.fdopen(descriptors[0], "rb") as file:
                    rate, longest_seconds = int(header["rate"]), float(header["longest_seconds"])
                    for block in blocks(file, rate=rate, longest_seconds=longest_seconds):
                        replies.write(_line({"bytes": block.nbytes}))
                        replies.write(block.data)
            except BrokenPipeError:
                raise
            except ValueError as error:
                reply |= {"refused": str(error), "is_too_long": isinstance(error, TooLongError)}
            except Exception:  # noqa: BLE001 (any other error counts as a crash, and a new process takes over)
                traceback.print_exc()
                # Exit without cleanup. The parent kills this process once its output ends, so after a slower exit it
                # would report SIGKILL as the cause.
                os._exit(os.EX_DATAERR)
            replies.write(_line(reply))
            replies.flush()
            signal.setitimer(signal.ITIMER_REAL, 0)


def _line(header: dict[str, Any]) -> bytes:
    return json.dumps(header).encode() + b"\n"


@contextmanager
def _descriptor(content: bytes) -> Iterator[int]:
    """Yield a descriptor of an in-memory file, or of a temporary file on systems without in-memory files."""
    create = getattr(os, "memfd_create", None)
    with os.fdopen(create("song"), "wb") if create else tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)  # also flushes the buffer; the decoder process reads from this position
        yield file.fileno()


def _header(stream: IO[bytes]) -> dict[str, Any]:
    line = stream.readline(_MAX_HEADER_BYTES)
    if not line.endswith(b"\n"):
        raise EOFError
    header: dict[str, Any] = json.loads(line)
    return header


def _read(stream: IO[bytes]) -> tuple[dict[str, Any], bytearray]:
    header = _header(stream)
    content = bytearray(header["bytes"])
    remaining = memoryview(content)
    while remaining:
        count = stream.readinto(remaining)  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        remaining = remaining[count:]
    return header, content


def _address_space() -> int:
    """Return the size of this process's address space in bytes; 0 on systems without /proc."""
    with suppress(OSError, ValueError):
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return 0


def _limit_address_space(size: int) -> None:
    """Limit this process's address space to `size` bytes, on systems that support it."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (size, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _cause(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"


if __name__ == "__main__":
    main()
