"""Sound is decoded in processes of their own, which a damaged file may crash and which can be ended at any time.

Decoders are C code that reads what strangers send. Such a process imports what decoding takes and no more, which is
20 MB of memory and a third of a second, holds one file at a time, and is told of the environment what it needs to
start: no key and no address of a server. Where a machine's memory runs out it is the first to go; it ends itself where
a file takes longer than a client waits, and gets no more memory than the longest sound takes. It is started anew after
a number of files, so that what a decoder leaves behind does not grow.

A message is a line of JSON followed by as many bytes as its `bytes` says:
    to the process      {"bytes": 46102, "longest_seconds": 900, "patience": 30}, the file
    from the process    {"bytes": 2646000}, samples float32 at 22 050 Hz; or {"bytes": 0, "refused": "why"}
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

FILES = 1000  # that a process decodes, before another one takes its place
LED_ASTRAY = (
    f"status {os.EX_DATAERR}"  # the cause where decoding ended as nobody expected, and memory that it did not get
)

# Of the environment: where programs, libraries and modules are, how many threads they begin, and in which language.
_NEEDED = ("PATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LANG", "LC_ALL")
_ROOM = 1_000_000_000  # bytes of address space, beside what a process has when it begins and what a file's sound takes
_BYTES_A_SECOND = 4 * 4 * audio.SAMPLE_RATE  # of sound: its samples in pieces, joined, and as they are sent
_LONGEST_HEADER = 10_000  # bytes


class CrashError(RaygenreError, RuntimeError):
    """The process ended while it decoded a file.

    Attributes:
        cause: the signal's name, or the exit status.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(f"the decoder ended with {cause}")
        self.cause = cause


class DecoderProcess:
    """One process, for one thread at a time; only `kill` may be called by others.

    Attributes:
        pid: its id.
        spent: whether another one should take its place: it has ended, or has decoded its number of files.
    """

    def __init__(self) -> None:
        # This process may have found its modules where another one would not look.
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        environment |= {name: os.environ[name] for name in _NEEDED if name in os.environ}
        environment["MALLOC_ARENA_MAX"] = "2"  # each thread of a decoder would map 64 MB of its address space for one
        self._process = subprocess.Popen(
            [sys.executable, "-m", "serve.inference.decoder_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the one that asks
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        self._files = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def spent(self) -> bool:
        return self._files >= FILES or self._process.poll() is not None

    def decode(self, file: bytes, *, longest_seconds: float, patience: float) -> NDArray[np.float32]:
        """Return the samples of a file, float32 (N,) at 22 050 Hz, as `audio.decode` does.

        Args:
            longest_seconds: s of sound after which a file is refused.
            patience: s after which the process ends itself, even if nobody is left to end it.

        Raises:
            AudioError: what `audio.decode` says.
            CrashError: the process has ended, of itself or by `kill`.
        """
        self._files += 1
        try:
            _write(self._to, {"longest_seconds": longest_seconds, "patience": patience}, file)
            header, content = _read(self._from)
        except (OSError, EOFError, ValueError) as error:
            self.end()
            raise CrashError(_cause(self._process.wait())) from error
        except BaseException:
            self.end()  # what it has not said yet would be taken for the next file's answer
            raise
        if "refused" in header:
            raise audio.AudioError(str(header["refused"]))
        return np.frombuffer(content, dtype=np.float32)

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()

    def end(self) -> None:
        """End the process and free what it takes here."""
        self._process.kill()
        for stream in (self._to, self._from):
            with suppress(OSError):  # what could not be sent
                stream.close()
        self._process.wait()


def main() -> None:
    """Decode what comes, until no more comes."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    # Libraries that print would disturb the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    began_with = _address_space()
    with suppress(EOFError, BrokenPipeError):
        while True:
            header, file = _read(sys.stdin.buffer)
            signal.setitimer(signal.ITIMER_REAL, header["patience"])  # ends C code too, by SIGALRM
            longest = float(header["longest_seconds"])
            _bound(began_with + _ROOM + 2 * len(file) + int(_BYTES_A_SECOND * longest))
            try:
                samples = audio.decode(bytes(file), longest_seconds=longest)
            except ValueError as error:
                _write(answers, {"refused": str(error)}, b"")
            except Exception:  # noqa: BLE001 (of the file, whatever it is: it says so, and another process takes over)
                traceback.print_exc()
                os._exit(
                    os.EX_DATAERR
                )  # at once: who asks kills it as soon as it says no more, and would see that alone
            else:
                _write(answers, {}, samples.data)
            signal.setitimer(signal.ITIMER_REAL, 0)


def _write(stream: IO[bytes], header: dict[str, Any], content: bytes | memoryview) -> None:
    size = memoryview(content).nbytes
    stream.write(json.dumps(header | {"bytes": size}).encode() + b"\n")
    stream.write(content)
    stream.flush()


def _read(stream: IO[bytes]) -> tuple[dict[str, Any], bytearray]:
    line = stream.readline(_LONGEST_HEADER)
    if not line.endswith(b"\n"):
        raise EOFError
    header = json.loads(line)
    content = bytearray(header["bytes"])
    place = memoryview(content)
    while place:
        read = stream.readinto(place)  # type: ignore[attr-defined]
        if not read:
            raise EOFError
        place = place[read:]
    return header, content


def _address_space() -> int:
    """Bytes that this process has mapped; 0 where the system does not tell."""
    with suppress(OSError, ValueError):
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return 0


def _bound(size: int) -> None:
    """Give this process no more than so many bytes of address space, where the system knows such a limit."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (size, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _cause(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"


if __name__ == "__main__":
    main()
