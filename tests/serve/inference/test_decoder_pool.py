"""Decoding stops when its request ends, and a decoder crash affects only one file."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from raygenre.audio.decoding import decode
from raygenre.audio.synthesis import synthesise
from raygenre.inputs.features import Features
from raygenre.inputs.levels import LEVELS
from serve.admission.bodies import BodyStore
from serve.admission.limits import Limits, LimitSettings
from serve.errors import RefusalError
from serve.inference.decoder_pool import DecoderPool
from serve.inference.decoder_process import UNEXPECTED_ERROR, CrashError, DecoderProcess
from serve.monitoring.metrics import Metrics
from tests.helpers.processes import children
from tests.helpers.sounds import encode, tone


@pytest.fixture(scope="module")
def long_song() -> bytes:
    """A seven-minute song, which takes over a second to decode."""
    return encode(np.tile(synthesise("bells", seed=0), 14), "mp3", "libmp3lame")


def new_pool(size: int, *, most_seconds: float) -> DecoderPool:
    return DecoderPool(size, Metrics(), Limits.of(LimitSettings(most_seconds=most_seconds)))


@pytest.fixture
def decoders(ray_cluster: None) -> Iterator[DecoderPool]:
    pool = new_pool(2, most_seconds=1800)
    yield pool
    pool.close()


def decoded(
    process: DecoderProcess, file: bytes | int, *, longest_seconds: float, timeout_seconds: float
) -> NDArray[np.float32]:
    """Return all samples of a file."""
    blocks = process.decode(file, longest_seconds=longest_seconds, timeout_seconds=timeout_seconds)
    return np.concatenate(list(blocks))


def decoder_pids() -> list[int]:
    """Return the process ids of the decoders that this process has started."""
    return [
        pid
        for pid in children(os.getpid())
        if b"serve.inference.decoder_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def ticks(pid: int) -> int:
    """Return the CPU time of a process, in clock ticks."""
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))


async def busy() -> int:
    """Wait until a decoder is working, and return its process id."""
    before = {pid: ticks(pid) for pid in decoder_pids()}
    while True:
        await asyncio.sleep(0.01)
        for pid in before:
            if ticks(pid) > before[pid] + 5:
                return pid


def test_a_decoder_process_returns_the_same_samples(long_song: bytes) -> None:
    process = DecoderProcess()
    for file in (encode(tone(440, seconds=4)), long_song):
        assert np.array_equal(decoded(process, file, longest_seconds=1800, timeout_seconds=60), decode(file))
    assert not process.is_spent
    process.end()
    assert process.is_spent


def test_a_song_equals_that_of_the_library(decoders: DecoderPool) -> None:
    for file in (encode(tone(440, seconds=70)), encode(tone(440, seconds=4), "mp3", "libmp3lame")):
        song, expected = asyncio.run(decoders.song(file)), LEVELS.read(file)
        assert np.array_equal(song.windows, expected.windows)
        assert song.times == expected.times


def test_features_are_those_of_the_library(decoders: DecoderPool, features: Features, picture: bytes) -> None:
    samples = np.concatenate([synthesise(genre, seed=0) for genre in ("bells", "storm", "drone")])
    file = encode(samples[: 70 * 22_050], "mp3", "libmp3lame")
    heard: list[float] = []
    song, expected = asyncio.run(decoders.song(file, heard.append, features)), features.read(file)
    assert np.array_equal(song.windows, expected.windows)
    assert (song.times, song.numbers) == (expected.times, expected.numbers)
    assert sum(heard) == pytest.approx(70, abs=0.2)
    _, windows = asyncio.run(decoders.picture(file, 0, kind=features))
    assert windows == len(expected.windows) == 3
    with pytest.raises(RefusalError, match="use the recording") as refusal:
        asyncio.run(decoders.song(picture, kind=features))
    assert refusal.value.status == 422


def test_a_file_on_disk_gives_the_same_samples_and_pictures(
    decoders: DecoderPool, long_song: bytes, picture: bytes
) -> None:
    heard: list[float] = []
    with BodyStore(Limits.of(LimitSettings())).reservation() as reservation:
        for data in (long_song, picture):
            file = reservation.new_file()
            file.write([data])
            expected = LEVELS.read(data)
            song = asyncio.run(decoders.song(file, heard.append))
            assert np.array_equal(song.windows, expected.windows)
            assert song.times == expected.times
            last = len(expected.windows) - 1
            assert asyncio.run(decoders.picture(file, last)) == asyncio.run(decoders.picture(data, last))
    assert sum(heard) == pytest.approx(420, abs=1)
    assert len(heard) > 10


def test_large_files_leave_a_decoder_to_songs(
    decoders: DecoderPool, long_song: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.inference.decoder_pool.LARGE", len(long_song) - 1)

    async def crowd() -> int:
        large = [asyncio.ensure_future(decoders.song(long_song)) for _ in range(3)]
        await busy()
        await decoders.song(encode(tone(440, seconds=4)))
        waiting = sum(not task.done() for task in large)
        for task in large:
            task.cancel()
        await asyncio.gather(*large, return_exceptions=True)
        return waiting

    assert asyncio.run(crowd()) == 3


def test_decoding_stops_when_the_request_is_cancelled(decoders: DecoderPool, long_song: bytes) -> None:
    async def cancel() -> None:
        waiting = [asyncio.ensure_future(decoders.song(long_song)) for _ in range(5)]
        pid = await busy()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert (await decoders.song(encode(tone(440, seconds=4)))).windows.shape == (1, 128, 333)
        assert pid not in decoder_pids()
        assert len(decoder_pids()) == 2
        assert all(ticks(pid) < 200 for pid in decoder_pids())  # no decoder continues with a cancelled file

    asyncio.run(cancel())


def test_files_decoded_at_a_time_are_limited_to_the_decoders(decoders: DecoderPool, long_song: bytes) -> None:
    async def crowd() -> int:
        waiting = [asyncio.ensure_future(decoders.song(long_song)) for _ in range(6)]
        await busy()
        number = len(decoder_pids())
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return number

    assert asyncio.run(crowd()) == 2


def test_a_decoder_killed_while_idle_costs_no_file(decoders: DecoderPool) -> None:
    for pid in decoder_pids():
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # the process has ended, but the pool has not noticed yet
    for _ in range(3):
        assert asyncio.run(decoders.song(encode(tone(440, seconds=4)))).windows.shape == (1, 128, 333)


@pytest.fixture
def fake_codec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make new decoders allocate memory or fail, depending on the first word of the file."""
    (tmp_path / "sitecustomize.py").write_text(
        "import numpy\n"
        "from raygenre.audio import blocks\n"
        "def decode(file, **_):\n"
        "    word, _, size = file.read().partition(b' ')\n"
        "    if word == b'take':\n"
        "        bytearray(int(size))\n"
        "    if word == b'fail':\n"
        "        raise RuntimeError('an unexpected error')\n"
        "    yield numpy.zeros(4, numpy.float32)\n"
        "blocks.blocks = decode\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("fake_codec")
def test_the_memory_of_a_decoder_is_limited() -> None:
    process = DecoderProcess()
    for size, fits in ((500_000_000, True), (4_000_000_000, False)):
        if fits:
            assert len(decoded(process, b"take %d" % size, longest_seconds=9, timeout_seconds=60)) == 4
        else:
            with pytest.raises(CrashError, match=UNEXPECTED_ERROR):
                decoded(process, b"take %d" % size, longest_seconds=9, timeout_seconds=60)
    process.end()


@pytest.mark.usefixtures("fake_codec")
def test_an_unexpected_decoding_error_is_reported_as_422(ray_cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    decoders = new_pool(1, most_seconds=9)
    monkeypatch.setattr("serve.inference.decoder_pool._type", lambda file: "audio")
    with pytest.raises(RefusalError, match="convert it") as refusal:
        asyncio.run(decoders.song(b"fail"))
    assert refusal.value.status == 422
    with pytest.raises(RefusalError, match="at least 3 s"):  # from a new decoder, whose fake codec returns 4 samples
        asyncio.run(decoders.song(b"give"))
    decoders.close()


def test_a_decoder_does_not_inherit_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ("RAYGENRE_API_KEYS", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY", "RAY_AUTH_TOKEN")
    for name in secrets:
        monkeypatch.setenv(name, "secret-value")
    process = DecoderProcess()
    decoded(process, encode(tone(440, seconds=4)), longest_seconds=9, timeout_seconds=60)
    environment = Path(f"/proc/{process.pid}/environ").read_bytes()
    process.end()
    assert b"PATH=" in environment
    assert b"secret-value" not in environment


@pytest.mark.parametrize(("death", "status"), [(signal.SIGSEGV, 422), (signal.SIGKILL, 503)])
def test_a_decoder_crash_fails_only_its_own_file(
    decoders: DecoderPool, long_song: bytes, death: signal.Signals, status: int
) -> None:
    async def crash() -> None:
        first, second = (asyncio.ensure_future(decoders.song(long_song)) for _ in range(2))
        os.kill(await busy(), death)
        results = await asyncio.gather(first, second, return_exceptions=True)
        [refusal] = [result for result in results if isinstance(result, RefusalError)]
        assert refusal.status == status
        assert (death.name in refusal.detail) == (status == 422)
        assert ("Retry-After" in refusal.headers) == (status == 503)
        assert len(decoder_pids()) == 2
        assert (await decoders.song(encode(tone(440, seconds=4)))).windows.shape == (1, 128, 333)

    asyncio.run(crash())


def test_a_decoder_is_replaced_after_a_number_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.inference.decoder_process.MAX_FILES", 2)
    process = DecoderProcess()
    for spent in (False, True):
        decoded(process, encode(tone(440, seconds=4)), longest_seconds=9, timeout_seconds=60)
        assert process.is_spent == spent
    process.end()


def test_a_decoder_is_killed_first_and_ends_with_its_replica() -> None:
    process = DecoderProcess()
    decoded(process, encode(tone(440, seconds=4)), longest_seconds=9, timeout_seconds=60)
    assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "1000"
    process._to.close()  # as the kernel would do if a replica were killed
    deadline = time.monotonic() + 5
    while not process.is_spent and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.is_spent
    with pytest.raises(CrashError):
        decoded(process, b"", longest_seconds=9, timeout_seconds=60)
    process.end()


def test_a_decoder_that_takes_too_long_kills_itself(long_song: bytes) -> None:
    process = DecoderProcess()
    with pytest.raises(CrashError, match="SIGALRM"):
        decoded(process, long_song, longest_seconds=1800, timeout_seconds=0.1)
    process.end()
    fast = DecoderProcess()
    decoded(fast, encode(tone(440, seconds=4)), longest_seconds=9, timeout_seconds=2)
    time.sleep(2.2)  # the timeout applies per file
    assert not fast.is_spent
    fast.end()


def test_audio_that_is_too_long_is_refused(ray_cluster: None) -> None:
    decoders = new_pool(1, most_seconds=5)
    for work in (decoders.song(encode(tone(440, seconds=6))), decoders.picture(encode(tone(440, seconds=6)), 0)):
        with pytest.raises(RefusalError, match=r"limit of 5 s .*RAYGENRE_MOST_SECONDS.*raygenre predict") as refusal:
            asyncio.run(work)
        assert refusal.value.status == 422
    decoders.close()
