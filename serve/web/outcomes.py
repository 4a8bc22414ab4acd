"""The response to a prediction request, from an answer or a refusal for each file."""

from collections.abc import Sequence

from serve.admission.upload import UploadedFile
from serve.errors import RefusalError
from serve.schema import Answer, Answers, FileError

Outcome = Answer | RefusalError


def response_of(files: Sequence[UploadedFile], outcomes: Sequence[Outcome], *, is_form: bool) -> Answer | Answers:
    """Return the answer to a file, or the answers to the files of a form with an error for each of the others.

    Raises:
        RefusalError: no file has an answer. For several files, the status is the highest of the files' ones, so that a
            client that may retry one of them gets the 503.
    """
    refusals = [outcome for outcome in outcomes if isinstance(outcome, RefusalError)]
    errors = [
        FileError(index=index, file=file.name, status=outcome.status, detail=outcome.detail)
        for index, (file, outcome) in enumerate(zip(files, outcomes, strict=True))
        if isinstance(outcome, RefusalError)
    ]
    if len(refusals) < len(files):
        answers = [outcome if isinstance(outcome, Answer) else None for outcome in outcomes]
        return Answers(predictions=answers, errors=errors) if is_form or answers[0] is None else answers[0]
    if len(files) == 1:
        raise refusals[0]
    worst, error = max(zip(refusals, errors, strict=True), key=lambda pair: pair[0].status)
    name = f" ({error.file})" if error.file else ""
    detail = f"no file of the form can be classified; file {error.index + 1}{name}: {error.detail}"
    raise RefusalError(worst.status, detail, worst.headers, errors)


def log_fields(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """Return fields for the request's log line: genres and versions of the answers, statuses of the refused files."""
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    refused = [outcome.status for outcome in outcomes if isinstance(outcome, RefusalError)]
    versions = dict.fromkeys(answer.model.version for answer in answers)  # two if the challenger fails on a file
    fields: dict[str, object] = {}
    if answers:
        fields |= {"genres": [answer.genre for answer in answers], "model": ",".join(versions)}
    if refused:
        fields["refused"] = refused
    return fields
