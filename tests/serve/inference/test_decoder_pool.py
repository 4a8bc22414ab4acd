"""Decoding that nobody waits for any more comes to an end, and a decoder that crashes takes nothing with it."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from raygenre.audio.decoding import decode
from raygenre.audio.synthesis import synthesise
from raygenre.spectrogram.song import read
from serve.errors import RefusalError
from serve.inference.decoder_pool import Decoder
from serve.inference.decoder_process import LED_ASTRAY, CrashError, DecoderProcess
from serve.monitoring.metrics import Metrics
from tests.helpers.processes import children
from tests.helpers.sounds import encode, tone


@pytest.fixture(scope="module")
def long_song() -> bytes:
    """Seven minutes, which take over a second to decode."""
    return encode(np.tile(synthesise("bells", seed=0), 14), "mp3", "libmp3lame")


@pytest.fixture
def decoder(ray_cluster: None) -> Iterator[Decoder]:
    made = Decoder(2, Metrics(), longest_seconds=1800)
    yield made
    made.close()


def decoding() -> list[int]:
    """Ids of the decoders that this process has started."""
    return [
        pid
        for pid in children(os.getpid())
        if b"serve.inference.decoder_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def ticks(pid: int) -> int:
    """CPU time of a process, in the system's ticks."""
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))


async def busy() -> int:
    """The id of a decoder that has something to do, once there is one."""
    before = {pid: ticks(pid) for pid in decoding()}
    while True:
        await asyncio.sleep(0.01)
        for pid in before:
            if ticks(pid) > before[pid] + 5:
                return pid


def test_samples_are_those_of_this_process(long_song: bytes) -> None:
    process = DecoderProcess()
    for file in (encode(tone(440, seconds=4)), long_song):
        assert np.array_equal(process.decode(file, longest_seconds=1800, patience=60), decode(file))
    assert not process.spent
    process.end()
    assert process.spent


def test_a_song_is_what_the_library_makes_of_it(decoder: Decoder) -> None:
    for file in (encode(tone(440, seconds=70)), encode(tone(440, seconds=4), "mp3", "libmp3lame")):
        mine, theirs = asyncio.run(decoder.song(file)), read(file)
        assert np.array_equal(mine.levels, theirs.levels)
        assert mine.times == theirs.times


def test_a_file_that_nobody_waits_for_costs_no_more(decoder: Decoder, long_song: bytes) -> None:
    async def leave() -> None:
        waiting = [asyncio.ensure_future(decoder.song(long_song)) for _ in range(5)]
        pid = await busy()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert (await decoder.song(encode(tone(440, seconds=4)))).levels.shape == (1, 128, 333)
        assert pid not in decoding()
        assert len(decoding()) == 2
        assert all(ticks(pid) < 200 for pid in decoding())  # no one goes on with what was left

    asyncio.run(leave())


def test_no_more_files_are_decoded_at_a_time_than_there_are_decoders(decoder: Decoder, long_song: bytes) -> None:
    async def crowd() -> int:
        waiting = [asyncio.ensure_future(decoder.song(long_song)) for _ in range(6)]
        await busy()
        found = len(decoding())
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return found

    assert asyncio.run(crowd()) == 2


def test_a_decoder_that_ended_with_nothing_to_do_costs_nothing(decoder: Decoder) -> None:
    for pid in decoding():
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # its owner is still to find out
    for _ in range(3):
        assert asyncio.run(decoder.song(encode(tone(440, seconds=4)))).levels.shape == (1, 128, 333)


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoders that start while this counts do with a file as its first word says."""
    (tmp_path / "sitecustomize.py").write_text(
        "import numpy\n"
        "from raygenre import audio\n"
        "def decode(data, **_):\n"
        "    word, _, size = data.partition(b' ')\n"
        "    if word == b'take':\n"
        "        bytearray(int(size))\n"
        "    if word == b'fail':\n"
        "        raise RuntimeError('a codec of its own mind')\n"
        "    return numpy.zeros(4, numpy.float32)\n"
        "audio.decode = decode\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("odd")
def test_a_file_gets_as_much_memory_as_the_longest_sound_takes() -> None:
    process = DecoderProcess()
    for size, fits in ((500_000_000, True), (4_000_000_000, False)):
        if fits:
            assert len(process.decode(b"take %d" % size, longest_seconds=9, patience=60)) == 4
        else:
            with pytest.raises(CrashError, match=LED_ASTRAY):
                process.decode(b"take %d" % size, longest_seconds=9, patience=60)
    process.end()


@pytest.mark.usefixtures("odd")
def test_a_file_that_decoding_fails_over_in_an_unknown_way_is_told_so(
    ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = Decoder(1, Metrics(), longest_seconds=9)
    monkeypatch.setattr("serve.inference.decoder_pool.sniff", lambda file: "audio")
    with pytest.raises(RefusalError, match="convert it") as refusal:
        asyncio.run(decoder.song(b"fail"))
    assert refusal.value.status == 422
    with pytest.raises(RefusalError, match="at least 3 s"):  # by another decoder, which gave what it was asked for
        asyncio.run(decoder.song(b"give"))
    decoder.close()


def test_a_decoder_is_not_told_what_the_replica_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ("RAYGENRE_API_KEYS", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY", "RAY_AUTH_TOKEN")
    for name in secrets:
        monkeypatch.setenv(name, "not-for-strangers")
    process = DecoderProcess()
    process.decode(encode(tone(440, seconds=4)), longest_seconds=9, patience=60)
    told = Path(f"/proc/{process.pid}/environ").read_bytes()
    process.end()
    assert b"PATH=" in told
    assert b"not-for-strangers" not in told


@pytest.mark.parametrize(("death", "status"), [(signal.SIGSEGV, 422), (signal.SIGKILL, 503)])
def test_a_decoder_that_ends_costs_its_file_alone(
    decoder: Decoder, long_song: bytes, death: signal.Signals, status: int
) -> None:
    async def crash() -> None:
        work, other = (asyncio.ensure_future(decoder.song(long_song)) for _ in range(2))
        os.kill(await busy(), death)
        results = await asyncio.gather(work, other, return_exceptions=True)
        [refusal] = [result for result in results if isinstance(result, RefusalError)]
        assert refusal.status == status
        assert (death.name in refusal.detail) == (status == 422)
        assert ("Retry-After" in refusal.headers) == (status == 503)
        assert len(decoding()) == 2
        assert (await decoder.song(encode(tone(440, seconds=4)))).levels.shape == (1, 128, 333)

    asyncio.run(crash())


def test_a_decoder_makes_way_for_another_after_some_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.inference.decoder_process.FILES", 2)
    process = DecoderProcess()
    for spent in (False, True):
        process.decode(encode(tone(440, seconds=4)), longest_seconds=9, patience=60)
        assert process.spent == spent
    process.end()


def test_a_decoder_goes_first_where_memory_runs_out_and_ends_with_its_replica() -> None:
    process = DecoderProcess()
    process.decode(encode(tone(440, seconds=4)), longest_seconds=9, patience=60)
    assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "1000"
    process._to.close()  # as the system does when a replica is killed
    until = time.monotonic() + 5
    while not process.spent and time.monotonic() < until:
        time.sleep(0.02)
    assert process.spent
    with pytest.raises(CrashError):
        process.decode(b"", longest_seconds=9, patience=60)
    process.end()


def test_a_decoder_that_takes_too_long_ends_itself(long_song: bytes) -> None:
    process = DecoderProcess()
    with pytest.raises(CrashError, match="SIGALRM"):
        process.decode(long_song, longest_seconds=1800, patience=0.1)
    process.end()
    quick = DecoderProcess()
    quick.decode(encode(tone(440, seconds=4)), longest_seconds=9, patience=2)
    time.sleep(2.2)  # its time counts for the file alone
    assert not quick.spent
    quick.end()


def test_what_lasts_too_long_is_refused(ray_cluster: None) -> None:
    decoder = Decoder(1, Metrics(), longest_seconds=5)
    for work in (decoder.song(encode(tone(440, seconds=6))), decoder.picture(encode(tone(440, seconds=6)), 0)):
        with pytest.raises(RefusalError, match="over 5 s") as refusal:
            asyncio.run(work)
        assert refusal.value.status == 422
    decoder.close()
