"""The time limit for an answer grows with the duration of the audio."""

import asyncio
from dataclasses import replace

import pytest

from serve.admission.deadline import Deadline
from serve.admission.limits import AUDIO_SPEED, FEATURES_SPEED, Limits, LimitSettings
from serve.errors import RefusalError

LIMITS = Limits.of(LimitSettings())
SHORT = replace(LIMITS, request_seconds=0.05)


@pytest.mark.parametrize(("size", "seconds"), [(0, 30), (400_000, 30.5), (40_000_000, 80), (350_000_000, 120)])
def test_a_large_body_may_wait_longer(size: int, seconds: float) -> None:
    async def limit() -> float:
        return Deadline(LIMITS, body_bytes=size).seconds

    assert asyncio.run(limit()) == seconds
    assert seconds < LIMITS.decode_seconds  # a decoder must not end before its request does


def test_decoded_audio_moves_the_deadline_beyond_the_estimate() -> None:
    async def limits() -> list[float]:
        deadline = Deadline(LIMITS, body_bytes=4_000_000)  # estimated as 100 s
        seconds = []
        for _ in range(3):
            deadline.add_audio(60)
            seconds.append(deadline.seconds)
        return seconds

    assert asyncio.run(limits()) == [35, 36, 39]


def test_features_get_more_time_than_levels() -> None:
    async def limits() -> list[float]:
        deadline = Deadline(LIMITS, body_bytes=4_000_000)  # estimated as 100 s
        deadline.expect_features()
        estimated = deadline.seconds
        deadline.add_audio(LIMITS.audio_seconds)
        return [estimated, deadline.seconds]

    estimated, longest = asyncio.run(limits())
    assert (estimated, longest) == (30 + 100 / FEATURES_SPEED, 30 + 1800 / FEATURES_SPEED)
    assert longest < LIMITS.decode_seconds


def test_work_beyond_the_deadline_is_refused_with_503() -> None:
    async def work() -> None:
        async with Deadline(SHORT).limit():
            await asyncio.sleep(10)

    with pytest.raises(RefusalError, match=r"within 0\.05 s \(RAYGENRE_REQUEST_SECONDS\)") as refusal:
        asyncio.run(work())
    assert (refusal.value.status, refusal.value.headers) == (503, {"Retry-After": "2"})


def test_work_on_long_audio_gets_more_time() -> None:
    async def work() -> None:
        deadline = Deadline(SHORT)
        async with deadline.limit():
            for _ in range(10):
                await asyncio.sleep(0.02)
                deadline.add_audio(0.05 * AUDIO_SPEED)
        deadline.add_audio(1)  # too late, but harmless

    asyncio.run(work())


def test_a_timeout_within_the_work_stays_a_timeout() -> None:
    async def work() -> None:
        async with Deadline(LIMITS).limit(), asyncio.timeout(0.01):
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        asyncio.run(work())
