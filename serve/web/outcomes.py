"""Builds the response to a prediction request from each file's answer or refusal."""

from collections.abc import Sequence
from typing import TypeVar

from serve.admission.upload import UploadedFile
from serve.errors import RefusalError
from serve.schema import Answer, Answers, FileError
from serve.tag_schema import TagAnswer, TagAnswers

Outcome = Answer | TagAnswer | RefusalError
A = TypeVar("A", Answer, TagAnswer)
L = TypeVar("L", Answers, TagAnswers)


def response_of(
    files: Sequence[UploadedFile], outcomes: Sequence[A | RefusalError], form: type[L], *, is_form: bool
) -> A | L:
    """Return the answer for a file, or the answers and errors for the files of a form.

    Args:
        form: type of the response for a form.

    Raises:
        RefusalError: no file has an answer. For several files, the status is the highest of the files' statuses, so a
            client gets a 503 if it can retry any of the files.
    """
    refusals, errors = _refused([file.name for file in files], outcomes)
    if len(refusals) < len(files):
        answers = [None if isinstance(outcome, RefusalError) else outcome for outcome in outcomes]
        if is_form or answers[0] is None:
            return form.model_validate({"predictions": answers, "errors": errors})
        return answers[0]
    if len(files) == 1:
        raise refusals[0]
    raise _worst(refusals, errors, "no file of the form can be classified")


def answers_of(outcomes: Sequence[Outcome]) -> list[Answer]:
    """Return the answers to a request that succeeds or fails as a whole.

    Raises:
        RefusalError: a file has no answer; for several files, the status is the highest of their statuses.
    """
    refusals, errors = _refused([""] * len(outcomes), outcomes)
    if refusals and len(outcomes) == 1:
        raise refusals[0]
    if refusals:
        raise _worst(refusals, errors, f"{len(refusals)} of {len(outcomes)} files cannot be classified")
    return [outcome for outcome in outcomes if isinstance(outcome, Answer)]


def log_fields(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """Return fields for the request's log line: the predictions, and the statuses of the refused files."""
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    refused = [outcome.status for outcome in outcomes if isinstance(outcome, RefusalError)]
    versions = dict.fromkeys(answer.model.version for answer in answers)  # two if the challenger fails on a file
    fields: dict[str, object] = {}
    if answers:
        fields |= {"genres": [answer.genre for answer in answers], "model": ",".join(versions)}
    if tagged := sum(isinstance(outcome, TagAnswer) for outcome in outcomes):
        fields["tagged"] = tagged
    if refused:
        fields["refused"] = refused
    return fields


def _refused(names: Sequence[str], outcomes: Sequence[Outcome]) -> tuple[list[RefusalError], list[FileError]]:
    refusals = [outcome for outcome in outcomes if isinstance(outcome, RefusalError)]
    errors = [
        FileError(index=index, file=name, status=outcome.status, detail=outcome.detail)
        for index, (name, outcome) in enumerate(zip(names, outcomes, strict=True))
        if isinstance(outcome, RefusalError)
    ]
    return refusals, errors


def _worst(refusals: Sequence[RefusalError], errors: list[FileError], summary: str) -> RefusalError:
    """Return a refusal of the whole request, with the highest of the files' statuses."""
    worst, error = max(zip(refusals, errors, strict=True), key=lambda pair: pair[0].status)
    name = f" ({error.file})" if error.file else ""
    return RefusalError(worst.status, f"{summary}; file {error.index + 1}{name}: {error.detail}", worst.headers, errors)
