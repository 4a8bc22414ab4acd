"""Each file in a request gets its own outcome, and decoded audio extends the time limit."""

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from serve.admission.deadline import Deadline
from serve.admission.limits import AUDIO_SPEED, Limits, LimitSettings
from serve.errors import RefusalError
from serve.schema import Answer
from serve.service import outcomes_until

ANSWER = Answer.model_validate(cast(dict[str, Any], Answer.model_config["json_schema_extra"])["example"])
LIMITS = Limits.of(LimitSettings())
LATE = RefusalError(503, "late", {"Retry-After": "7"})
UNUSABLE = RefusalError(415, "no audio")
cancelled: list[str] = []


async def answer(deadline: Deadline) -> Answer:
    await asyncio.sleep(0)
    return ANSWER


async def refuse(deadline: Deadline) -> Answer:
    raise UNUSABLE


async def hang(deadline: Deadline) -> Answer:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        cancelled.append("hang")
        raise
    return ANSWER


async def fail(deadline: Deadline) -> Answer:
    raise KeyError("a bug")


async def decode(deadline: Deadline) -> Answer:
    """Decode audio for ten times the time limit; each piece extends the limit by twice the time that a piece takes."""
    for _ in range(20):
        await asyncio.sleep(0.02)
        deadline.add_audio(0.04 * AUDIO_SPEED)
    return ANSWER


def outcomes(*work: Any, seconds: float = 30) -> list[Answer | RefusalError]:
    async def run() -> list[Answer | RefusalError]:
        deadline = Deadline(replace(LIMITS, request_seconds=seconds))
        outcomes = await outcomes_until(deadline, [start(deadline) for start in work])
        return [LATE if getattr(outcome, "status", 0) == 503 else outcome for outcome in outcomes]

    cancelled.clear()
    return asyncio.run(run())


def test_a_refused_file_does_not_affect_the_others() -> None:
    assert outcomes(refuse, answer, refuse) == [UNUSABLE, ANSWER, UNUSABLE]


def test_a_file_that_is_not_ready_in_time_is_cancelled() -> None:
    assert outcomes(answer, hang, refuse, seconds=0.05) == [ANSWER, LATE, UNUSABLE]
    assert cancelled == ["hang"]


def test_the_time_limit_moves_while_audio_is_decoded() -> None:
    assert outcomes(decode, seconds=0.04) == [ANSWER]


def test_a_bug_ends_the_request_at_once() -> None:
    with pytest.raises(KeyError, match="a bug"):
        outcomes(hang, fail)
    assert cancelled == ["hang"]
