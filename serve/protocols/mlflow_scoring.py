"""The routes of MLflow's scoring server, with the schema of the model's pyfunc.

Input: a column `file` with files in base64, in any of the scoring server's four JSON forms.
Output: one record per file with `genre`, `confidence`, `uncertain`, and the probability of each genre.

Source: https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/ and `mlflow.pyfunc.scoring_server`.
"""

from collections.abc import Sequence
from importlib.metadata import version as installed_version
from typing import Any, Self

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from serve.admission.limits import Limits
from serve.errors import RefusalError
from serve.protocols.body import Classify, Input, decode_files, parse_json
from serve.schema import Answer
from serve.service import Service
from serve.web import openapi_extras

COLUMN = "file"
CONTENT_TYPE = "application/json"

_PREDICTION: dict[str, JsonValue] = {"genre": "jazz", "confidence": 0.7, "uncertain": False, "blues": 0.3, "jazz": 0.7}


class Record(BaseModel):
    """A row of the table."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"example": {COLUMN: "iVBORw0KGgo="}})

    file: str = Field(description="A PNG like the dataset's, or audio, in base64.")


class Columns(BaseModel):
    """The table by columns."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"example": {COLUMN: ["iVBORw0KGgo="]}})

    file: list[str] | str = Field(description="The files, or a single file, in base64.")


class Split(BaseModel):
    """The table as pandas writes it with `orient="split"`."""

    model_config = ConfigDict(json_schema_extra={"example": {"columns": [COLUMN], "data": [["iVBORw0KGgo="]]}})

    columns: list[str] = Field(default=[COLUMN], description="Names of the columns; one of them is `file`.")
    data: list[list[object]] = Field(description="The rows.")
    index: list[object] | None = Field(default=None, description="Ignored.")

    def files(self) -> list[str]:
        """Return the column of files.

        Raises:
            ValueError: the column is missing, or one of its values is not a string.
        """
        if COLUMN not in self.columns:
            raise ValueError(f"dataframe_split has no column `{COLUMN}`")
        place = self.columns.index(COLUMN)
        files = [row[place] for row in self.data if len(row) > place]
        texts = [file for file in files if isinstance(file, str)]
        if len(texts) < len(self.data):
            raise ValueError(f"a row of dataframe_split has no text in the column `{COLUMN}`")
        return texts


class Invocation(BaseModel):
    """A request in one of the four forms of MLflow's scoring server."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"example": {"dataframe_split": {"columns": [COLUMN], "data": [["iVBORw0KGgo="]]}}},
    )

    dataframe_split: Split | None = None
    dataframe_records: list[Record] | None = None
    instances: list[Record] | list[str] | None = Field(default=None, description="Rows, or only their files.")
    inputs: Columns | list[Record] | list[str] | None = Field(default=None, description="Columns, rows or files.")

    @model_validator(mode="after")
    def _check_form(self) -> Self:
        if len(self.model_fields_set) != 1:
            forms = ", ".join(type(self).model_fields)
            raise ValueError(f"the request must have exactly one of the fields {forms}")
        self.files()
        return self

    def files(self) -> list[str]:
        """Return the files in base64, in order."""
        [table] = [getattr(self, name) for name in self.model_fields_set]
        if isinstance(table, Split):
            return table.files()
        if isinstance(table, Columns):
            return [table.file] if isinstance(table.file, str) else table.file
        return [row.file if isinstance(row, Record) else row for row in table or []]


class Invocations(BaseModel):
    """The predictions, in the order of the rows."""

    model_config = ConfigDict(json_schema_extra={"example": {"predictions": [_PREDICTION]}})

    predictions: list[dict[str, str | float | bool]] = Field(
        description="For each row `genre`, `confidence`, `uncertain`, and the probability of each genre by its name."
    )


public = APIRouter()


@public.get("/ping", responses=openapi_extras.PUBLIC_RESPONSES, response_class=PlainTextResponse)
@public.get("/health", responses=openapi_extras.PUBLIC_RESPONSES, response_class=PlainTextResponse)
async def ping() -> str:
    """Report that the endpoint is healthy, with an empty line as MLflow's scoring server does."""
    return "\n"


@public.get("/version", responses=openapi_extras.PUBLIC_RESPONSES, response_class=PlainTextResponse)
async def version() -> str:
    """Return the version of MLflow that the endpoint is installed with."""
    return installed_version("mlflow")


def protected(classify: Classify) -> APIRouter:
    """Return the route that requires an API key."""
    router = APIRouter()

    @router.post(
        "/invocations",
        response_model=Invocations,
        responses=openapi_extras.problems(*openapi_extras.INFER_STATUSES),
        openapi_extra=openapi_extras.API_KEY | _BODY,
    )
    async def invocations(request: Request) -> Response:
        """Classify the files of a table, as MLflow's scoring server does with this model.

        If a file cannot be classified, the response contains only that file's error.
        """
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != CONTENT_TYPE:
            detail = f"the content type must be {CONTENT_TYPE}, and the body one of MLflow's JSON forms"
            raise RefusalError(415, detail)
        service: Service = request.app.state.service
        _, answers = await classify(request, lambda body: _parse(body, service.limits))
        response = Invocations(predictions=[_prediction(answer) for answer in answers])
        return Response(response.model_dump_json(), media_type=CONTENT_TYPE)

    return router


def _parse(body: bytes, limits: Limits) -> tuple[None, Sequence[Input]]:
    request = parse_json(Invocation, body, limits, max_values=1000 + 10 * limits.form_files)
    return None, decode_files(request.files(), limits)


def _prediction(answer: Answer) -> dict[str, str | float | bool]:
    return answer.model_dump(include={"genre", "confidence", "uncertain"}) | answer.probabilities


_BODY: dict[str, Any] = openapi_extras.json_body(
    Invocation,
    "One of the JSON forms of MLflow's scoring server, with a column `file` of files in base64.",
    f"-H 'Content-Type: {CONTENT_TYPE}' --data-binary @- http://localhost:8000/invocations "
    '<<< "{\\"instances\\": [\\"$(base64 -w0 song.mp3)\\"]}"',
)
