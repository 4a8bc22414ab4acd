"""Decoding that nobody waits for any more comes to an end."""

import asyncio
import threading
import time

import numpy as np
import pytest

from raygenre.synthesis import synthesise
from serve.decoding import Decoder
from serve.metrics import Metrics
from serve.problems import RefusalError
from tests.sounds import encode, tone


@pytest.fixture(scope="module")
def long_song() -> bytes:
    """Seven minutes, which take over a second to decode."""
    return encode(np.tile(synthesise("bells", seed=0), 14), "mp3", "libmp3lame")


def busy() -> float:
    """s of CPU time of this process."""
    return time.process_time()


@pytest.mark.usefixtures("ray_cluster")
def test_a_file_that_nobody_waits_for_costs_no_more(long_song: bytes) -> None:
    async def leave() -> None:
        decoder = Decoder(1, 1800, Metrics())
        started = busy()
        await decoder.song(long_song)
        whole = busy() - started
        started = busy()
        waiting = [asyncio.ensure_future(decoder.song(long_song)) for _ in range(5)]
        await asyncio.sleep(0.05)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert (await decoder.song(encode(tone(440, seconds=4)))).levels.shape == (1, 128, 333)
        assert busy() - started < whole  # all five would take five times as long

    asyncio.run(leave())


@pytest.mark.usefixtures("ray_cluster")
def test_no_more_files_are_decoded_at_a_time_than_there_are_threads(long_song: bytes) -> None:
    async def crowd() -> int:
        decoder = Decoder(2, 1800, Metrics())
        waiting = [asyncio.ensure_future(decoder.song(long_song)) for _ in range(6)]
        await asyncio.sleep(0.3)
        threads = sum(thread.name.startswith("decode") for thread in threading.enumerate())
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return threads

    assert asyncio.run(crowd()) == 2


@pytest.mark.usefixtures("ray_cluster")
def test_what_lasts_too_long_is_refused() -> None:
    decoder = Decoder(1, 5, Metrics())
    for work in (decoder.song(encode(tone(440, seconds=6))), decoder.picture(encode(tone(440, seconds=6)), 0)):
        with pytest.raises(RefusalError, match="over 5 s") as refusal:
            asyncio.run(work)
        assert refusal.value.status == 422
