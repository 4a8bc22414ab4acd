from typing import Any, cast

import pytest

from serve.admission.upload import UploadedFile
from serve.errors import RefusalError
from serve.schema import Answer, Answers, FileError
from serve.tag_schema import TAG_EXAMPLE, TagAnswer, TagAnswers
from serve.web.outcomes import log_fields, response_of

ANSWER = Answer.model_validate(cast(dict[str, Any], Answer.model_config["json_schema_extra"])["example"])
TAGS = TagAnswer.model_validate(TAG_EXAMPLE)
UNUSABLE = RefusalError(415, "no audio")
BUSY = RefusalError(503, "no memory", {"Retry-After": "7"})
FILES = [UploadedFile("a.mp3", b""), UploadedFile("b.mp3", b"")]
ERRORS = [
    FileError(index=0, file="a.mp3", status=503, detail="no memory"),
    FileError(index=1, file="b.mp3", status=415, detail="no audio"),
]


def test_a_body_gets_its_answer_and_a_form_a_list() -> None:
    assert response_of(FILES[:1], [ANSWER], Answers, is_form=False) == ANSWER
    assert response_of(FILES[:1], [ANSWER], Answers, is_form=True) == Answers(predictions=[ANSWER], errors=[])
    tagged: list[TagAnswer | RefusalError] = [TAGS, UNUSABLE]
    tags = TagAnswers(predictions=[TAGS, None], errors=ERRORS[1:])
    assert response_of(FILES, tagged, TagAnswers, is_form=True) == tags
    assert log_fields(tagged) == {"tagged": 1, "refused": [415]}


def test_a_form_gets_answers_and_errors_in_order() -> None:
    mixed: list[Answer | RefusalError] = [ANSWER, UNUSABLE]
    response = response_of(FILES, mixed, Answers, is_form=True)
    assert response == Answers(predictions=[ANSWER, None], errors=ERRORS[1:])


def refusal(*outcomes: Answer | RefusalError) -> RefusalError:
    with pytest.raises(RefusalError) as raised:
        response_of(FILES[: len(outcomes)], outcomes, Answers, is_form=True)
    return raised.value


def test_a_form_without_answers_has_the_highest_status() -> None:
    error = refusal(BUSY, UNUSABLE)
    assert (error.status, error.headers, error.errors) == (503, BUSY.headers, ERRORS)
    assert error.detail == "no file of the form can be classified; file 1 (a.mp3): no memory"
    assert refusal(UNUSABLE, BUSY).status == 503
    assert refusal(UNUSABLE) is UNUSABLE


def test_the_log_has_statuses_but_no_file_names() -> None:
    assert log_fields([ANSWER, UNUSABLE]) == {"genres": ["jazz"], "model": "3", "refused": [415]}
    assert log_fields([ANSWER]) == {"genres": ["jazz"], "model": "3"}
    assert log_fields([BUSY]) == {"refused": [503]}
