"""The outcomes of a request's files: one file affects neither the others nor the time limit."""

import asyncio
from typing import Any, cast

import pytest

from serve.errors import RefusalError
from serve.schema import Answer
from serve.service import outcomes_until

ANSWER = Answer.model_validate(cast(dict[str, Any], Answer.model_config["json_schema_extra"])["example"])
LATE = RefusalError(503, "late", {"Retry-After": "7"})
UNUSABLE = RefusalError(415, "no audio")
cancelled: list[str] = []


async def answer() -> Answer:
    await asyncio.sleep(0)
    return ANSWER


async def refuse() -> Answer:
    raise UNUSABLE


async def hang() -> Answer:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        cancelled.append("hang")
        raise
    return ANSWER


async def fail() -> Answer:
    raise KeyError("a bug")


def outcomes(*work: Any, seconds: float = 30) -> list[Answer | RefusalError]:
    async def run() -> list[Answer | RefusalError]:
        deadline = asyncio.get_running_loop().time() + seconds
        return await outcomes_until(deadline, [start() for start in work], late=LATE)

    cancelled.clear()
    return asyncio.run(run())


def test_a_refused_file_does_not_affect_the_others() -> None:
    assert outcomes(refuse, answer, refuse) == [UNUSABLE, ANSWER, UNUSABLE]


def test_a_file_that_is_not_ready_in_time_is_cancelled() -> None:
    assert outcomes(answer, hang, refuse, seconds=0.05) == [ANSWER, LATE, UNUSABLE]
    assert cancelled == ["hang"]


def test_a_bug_ends_the_request_at_once() -> None:
    with pytest.raises(KeyError, match="a bug"):
        outcomes(hang, fail)
    assert cancelled == ["hang"]
