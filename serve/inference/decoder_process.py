"""Audio decoding in separate processes, which may crash and can be killed at any time.

Decoders are C code that parses untrusted files. A decoder process imports only what decoding needs (20 MB of memory,
0.3 s) and handles one file at a time. Its environment contains only what it needs to start: no keys and no server
addresses. It is the first process that the kernel kills when memory runs out, its address space is limited to what the
longest audio needs, and it kills itself when a file takes longer than the client waits. It is replaced after a fixed
number of files, so that memory leaked by decoders does not accumulate.

A message is a line of JSON, followed by the number of bytes that its `bytes` field gives:
    to the process      {"bytes": 46102, "longest_seconds": 900, "timeout_seconds": 35}, the file
    from the process    {"bytes": 2646000}, float32 samples at 22 050 Hz; or {"bytes": 0, "refused": "why"}
"""

import json
import os
import resource
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from raygenre import audio
from raygenre.errors import RaygenreError

MAX_FILES = 1000  # files that a process decodes before it is replaced
UNEXPECTED_ERROR = f"status {os.EX_DATAERR}"  # crash cause: an unexpected exception, including MemoryError

# Variables that the process inherits: paths of programs and libraries, thread counts, and the language.
_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LANG", "LC_ALL")
_SPARE_BYTES = 1_000_000_000  # address space beyond the initial size of the process and the memory for the audio
# Memory for each second of audio: the samples exist as decoded pieces, as one array, and in the message.
_BYTES_PER_SECOND = 4 * 4 * audio.SAMPLE_RATE
_MAX_HEADER_BYTES = 10_000


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
        is_spent: whether it must be replaced, because it has ended or has decoded `MAX_FILES` files.
    """

    def __init__(self) -> None:
        # This process may have imported modules from folders that are not on the default path of a new process.
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        environment |= {name: os.environ[name] for name in _VARIABLES if name in os.environ}
        environment["MALLOC_ARENA_MAX"] = "2"  # otherwise each decoder thread maps 64 MB of address space for its arena
        self._process = subprocess.Popen(
            [sys.executable, "-m", "serve.inference.decoder_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C must reach only the parent
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        self._files = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_spent(self) -> bool:
        return self._files >= MAX_FILES or self._process.poll() is not None

    def decode(self, file: bytes, *, longest_seconds: float, timeout_seconds: float) -> NDArray[np.float32]:
        """Return a file's samples, float32 (N,) at 22 050 Hz, as `audio.decode` does.

        Args:
            longest_seconds: maximum duration of the audio, in s.
            timeout_seconds: time in s after which the process kills itself, even if its parent has died.

        Raises:
            AudioError: as in `audio.decode`.
            CrashError: the process ended, either by itself or because of `kill`.
        """
        self._files += 1
        try:
            _write(self._to, {"longest_seconds": longest_seconds, "timeout_seconds": timeout_seconds}, file)
            header, content = _read(self._from)
        except (OSError, EOFError, ValueError) as error:
            self.end()
            raise CrashError(_cause(self._process.wait())) from error
        except BaseException:
            self.end()  # its reply to this file would be mistaken for the reply to the next file
            raise
        if "refused" in header:
            raise audio.AudioError(str(header["refused"]))
        return np.frombuffer(content, dtype=np.float32)

    def kill(self) -> None:
        """Kill the process, even while it decodes."""
        self._process.kill()

    def end(self) -> None:
        """Kill the process and release its pipes."""
        self._process.kill()
        for stream in (self._to, self._from):
            with suppress(OSError):  # closing tries to flush unsent data
                stream.close()
        self._process.wait()


def main() -> None:
    """Decode files from standard input until it is closed."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    # Replies go to a copy of standard output, because anything that libraries print would corrupt them.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    initial_bytes = _address_space()
    with suppress(EOFError, BrokenPipeError):
        while True:
            header, file = _read(sys.stdin.buffer)
            # SIGALRM ends the process even while it runs C code.
            signal.setitimer(signal.ITIMER_REAL, header["timeout_seconds"])
            longest = float(header["longest_seconds"])
            _limit_address_space(initial_bytes + _SPARE_BYTES + 2 * len(file) + int(_BYTES_PER_SECOND * longest))
            try:
                samples = audio.decode(bytes(file), longest_seconds=longest)
            except ValueError as error:
                _write(replies, {"refused": str(error)}, b"")
            except Exception:  # noqa: BLE001 (any other error counts as a crash, and a new process takes over)
                traceback.print_exc()
                # Exit without cleanup: the parent kills this process once its output ends, and would otherwise report
                # SIGKILL as the cause.
                os._exit(os.EX_DATAERR)
            else:
                _write(replies, {}, samples.data)
            signal.setitimer(signal.ITIMER_REAL, 0)


def _write(stream: IO[bytes], header: dict[str, Any], content: bytes | memoryview) -> None:
    size = memoryview(content).nbytes
    stream.write(json.dumps(header | {"bytes": size}).encode() + b"\n")
    stream.write(content)
    stream.flush()


def _read(stream: IO[bytes]) -> tuple[dict[str, Any], bytearray]:
    line = stream.readline(_MAX_HEADER_BYTES)
    if not line.endswith(b"\n"):
        raise EOFError
    header = json.loads(line)
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
