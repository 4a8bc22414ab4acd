"""What the endpoint says: answers and errors, as JSON."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

_ID = "5f1d8a52-4b7e-4d6a-9a52-0c8f6c1e2d34"
_MODEL: dict[str, JsonValue] = {"name": "raygenre", "version": "3", "run_id": "0b9e0b1f5c0c4e0f9a8f0d3e7a6c5b41"}
_CHALLENGER: dict[str, JsonValue] = _MODEL | {"version": "4"}
_PROBABILITIES: dict[str, JsonValue] = {"blues": 0.2, "jazz": 0.7, "rock": 0.1}
_WINDOW: dict[str, JsonValue] = {
    "number": 0,
    "start": 0,
    "end": 30.01,
    "genre": "jazz",
    "confidence": 0.7,
    "probabilities": _PROBABILITIES,
}
_ANSWER: dict[str, JsonValue] = {
    "genre": "jazz",
    "confidence": 0.7,
    "uncertain": False,
    "probabilities": _PROBABILITIES,
    "windows": [_WINDOW],
    "model": _MODEL,
    "request_id": _ID,
}
EXAMPLES: dict[str, JsonValue] = {"id": _ID, "answer": _ANSWER}


def _example(value: JsonValue) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": value})


class ModelName(BaseModel):
    """Which model gave an answer."""

    model_config = _example(_MODEL)

    name: str = Field(description="Registered model, or the name of its folder.")
    version: str = Field(description="Its version; empty for a folder.")
    run_id: str = Field(description="MLflow run that made it; empty for a folder.")


class Window(BaseModel):
    """A stretch of a song."""

    model_config = _example(_WINDOW)

    number: int = Field(
        description="Its place among all stretches of the song, silent ones too, from 0: what `/v1/spectrogram` takes "
        "as `window`.",
        ge=0,
    )
    start: float = Field(description="s from the beginning of the song.", ge=0)
    end: float = Field(description="s from the beginning of the song.", gt=0)
    genre: str = Field(description="The most probable genre of the stretch.")
    confidence: float = Field(description="Its probability.", ge=0, le=1)
    probabilities: dict[str, float] = Field(description="Probability of each genre.")


class Answer(BaseModel):
    """The genre of one song."""

    model_config = _example(_ANSWER)

    genre: str = Field(description="The most probable genre.")
    confidence: float = Field(description="Its probability.", ge=0, le=1)
    uncertain: bool = Field(description="Whether the confidence is too low for the genre to be more than a guess.")
    probabilities: dict[str, float] = Field(description="Probability of each genre; they add up to 1.")
    windows: list[Window] = Field(
        description="The answer for each stretch of 30 s; one for a short song, none for a picture. Stretches without "
        "any sound are left out. A last stretch that would reach past the end is moved back and overlaps the one "
        "before."
    )
    model: ModelName = Field(description="The model that gave the answer.")
    request_id: str = Field(description="Names this request in the endpoint's logs.")


class Answers(BaseModel):
    """The genres of the files of one form."""

    model_config = _example({"predictions": [_ANSWER]})

    predictions: list[Answer] = Field(
        description="One for each file, in their order. All are of the same model, but where a challenger fails over a "
        "file, which the champion answers then."
    )


class ModelFacts(BaseModel):
    """What is known of the model that answers."""

    model_config = _example(
        {
            "model": _MODEL,
            "genres": ["blues", "jazz", "rock"],
            "test_accuracy": 0.81,
            "synthetic": False,
            "threshold": 0.62,
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "card": "# raygenre/3\n\nTells blues, jazz and rock apart.",
            "challenger": _CHALLENGER,
            "most_bytes": 25_000_000,
            "most_seconds": 900,
        }
    )

    model: ModelName = Field(description="The model that answers.")
    genres: list[str] = Field(description="What it tells apart, in the order of its outputs.")
    test_accuracy: float | None = Field(description="Share of right answers on test tracks; null if not known.")
    synthetic: bool | None = Field(description="Whether it was trained on synthetic tracks; null if not known.")
    threshold: float = Field(description="Confidence below which an answer is called uncertain.")
    sha256: str = Field(description="Of its weights.")
    card: str = Field(description="Model card, in Markdown.")
    challenger: ModelName | None = Field(description="The model that answers a share of the requests, if any.")
    most_bytes: int = Field(description="Bytes that a request may have.")
    most_seconds: float = Field(description="s of sound that a file may have.")


class Problem(BaseModel):
    """An error, after RFC 9457."""

    model_config = _example(
        {
            "type": "about:blank",
            "title": "Unprocessable Content",
            "status": 422,
            "detail": "the audio lasts 1.2 s; at least 3 s are needed",
            "request_id": _ID,
        }
    )

    type: str = "about:blank"
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was wrong with this request.")
    request_id: str = Field(description="Names this request in the endpoint's logs.")


class Health(BaseModel):
    """Whether the process answers."""

    model_config = _example({"status": "alive"})

    status: Literal["alive"] = Field(default="alive", description="Always this.")


class Readiness(BaseModel):
    """What the endpoint answers with."""

    model_config = _example({"status": "ready", "model": _MODEL, "challenger": _CHALLENGER, "trouble": {}})

    status: Literal["ready"] = Field(default="ready", description="Always this.")
    model: ModelName = Field(description="The model that answers.")
    challenger: ModelName | None = Field(description="The model that answers a share of the requests, if any.")
    trouble: dict[str, str] = Field(
        description="Why `model` or `challenger` is not the version that the registry names; empty if all is well."
    )
