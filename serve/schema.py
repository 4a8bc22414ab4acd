"""The endpoint's JSON responses: answers and errors."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

_ID = "5f1d8a52-4b7e-4d6a-9a52-0c8f6c1e2d34"
_MODEL: dict[str, JsonValue] = {"name": "raygenre", "version": "3", "run_id": "0b9e0b1f5c0c4e0f9a8f0d3e7a6c5b41"}
_CHALLENGER: dict[str, JsonValue] = _MODEL | {"version": "4"}
_PROBABILITIES: dict[str, JsonValue] = {"blues": 0.2, "jazz": 0.7, "rock": 0.1}
_TRAINED_ON: dict[str, JsonValue] = {"kind": "real", "name": "GTZAN"}
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
    "trained_on": _TRAINED_ON,
    "request_id": _ID,
}
_FILE_ERROR: dict[str, JsonValue] = {
    "index": 1,
    "file": "note.mp3",
    "status": 415,
    "detail": "the file is neither a PNG nor audio: it is a web page; copy or download it again",
}
_PRETRAINED: dict[str, JsonValue] = {
    "name": "MSD_musicnn",
    "source": "musicnn 0.1.0",
    "licence": "ISC",
    "tags": ["jazz", "blues", "60s"],
}
_ANSWERS: dict[str, JsonValue] = {"predictions": [_ANSWER, None], "errors": [_FILE_ERROR]}
EXAMPLES: dict[str, JsonValue] = {
    "id": _ID,
    "answer": _ANSWER,
    "answers": _ANSWERS,
    "error": _FILE_ERROR,
    "pretrained": _PRETRAINED,
}


def _example(value: JsonValue) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": value})


class ModelName(BaseModel):
    """The model that gave an answer."""

    model_config = _example(_MODEL)

    name: str = Field(description="Name of the registered model or of the model's folder.")
    version: str = Field(description="Version in the registry; empty for a folder.")
    run_id: str = Field(description="Id of the MLflow run that trained the model; empty for a folder.")


class TrainedOn(BaseModel):
    """The data that a model was trained on."""

    model_config = _example(_TRAINED_ON)

    kind: Literal["synthetic", "real", "unknown"] = Field(
        description="`synthetic` for a model that was trained only on synthetic sounds, whose predictions for real "
        "songs are meaningless; `unknown` if it was not recorded."
    )
    name: str = Field(description="`synthetic`, or the name of the data folder; empty if it was not recorded.")


class Window(BaseModel):
    """A 30 s window of a song."""

    model_config = _example(_WINDOW)

    number: int = Field(
        description="Index of the window in the song, starting at 0 and counting silent windows; also the value of the "
        "`window` parameter of `/v1/spectrogram`.",
        ge=0,
    )
    start: float = Field(description="Start of the window, in s from the start of the song.", ge=0)
    end: float = Field(description="End of the window, in s from the start of the song.", gt=0)
    genre: str = Field(description="Most probable genre of the window.")
    confidence: float = Field(description="Probability of that genre.", ge=0, le=1)
    probabilities: dict[str, float] = Field(description="Probability of each genre.")


class StreamedWindow(Window):
    """A window in a streamed answer."""

    picture: str | None = Field(
        default=None,
        description="With `pictures=true`, if the model's input is spectrograms: the window's, as a PNG of 333×128 "
        "pixels without axes, in base64.",
    )


class Answer(BaseModel):
    """The genre of one song."""

    model_config = _example(_ANSWER)

    genre: str = Field(description="Most probable genre.")
    confidence: float = Field(description="Probability of that genre.", ge=0, le=1)
    uncertain: bool = Field(description="Whether the confidence is below the model's threshold.")
    probabilities: dict[str, float] = Field(description="Probability of each genre; the probabilities sum to 1.")
    windows: list[Window] = Field(
        description="Answers for the 30 s windows of the song: one window for a short song, none for a PNG. Silent "
        "windows are omitted. The last window ends with the song and may overlap the previous window."
    )
    model: ModelName = Field(description="Model that made the prediction.")
    trained_on: TrainedOn = Field(description="Data that the model was trained on.")
    request_id: str = Field(description="Id of this request in the endpoint's logs.")


class FileError(BaseModel):
    """Why a file in a form could not be classified."""

    model_config = _example(_FILE_ERROR)

    index: int = Field(description="Index of the file in the form, starting at 0, as in `predictions`.", ge=0)
    file: str = Field(description="Name of the file in the form; empty if it has none.")
    status: int = Field(description="HTTP status that the file alone would have received; retry after 503.")
    detail: str = Field(description="What is wrong with the file.")


class Answers(BaseModel):
    """The genres of the files in a form."""

    model_config = _example(_ANSWERS)

    predictions: list[Answer | None] = Field(
        description="One answer per file, in order; null for a file in `errors`. The same model classifies all files, "
        "but if a challenger fails on a file, the champion classifies it."
    )
    errors: list[FileError] = Field(description="The files without an answer, in order.")


class PretrainedFacts(BaseModel):
    """The pretrained network, which predicts tags without training."""

    model_config = _example(_PRETRAINED)

    name: str = Field(description="Name of the network.")
    source: str = Field(description="Where its weights come from.")
    licence: str = Field(description="Licence of its weights.")
    tags: list[str] = Field(description="The tags, in the order of the network's outputs.")


class ModelFacts(BaseModel):
    """The model being served."""

    model_config = _example(
        {
            "model": _MODEL,
            "genres": ["blues", "jazz", "rock"],
            "input": "levels",
            "takes_images": True,
            "test_accuracy": 0.81,
            "synthetic": False,
            "trained_on": _TRAINED_ON,
            "threshold": 0.62,
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "card": "# raygenre/3\n\nClassifies blues, jazz and rock.",
            "challenger": _CHALLENGER,
            "pretrained": None,
            "most_bytes": 350_000_000,
            "most_seconds": 1800,
        }
    )

    model: ModelName = Field(description="Model being served.")
    genres: list[str] = Field(description="Genres, in the order of the model's outputs.")
    input: Literal["levels", "features"] = Field(
        description="Input of the model: the `levels` of a spectrogram, or `features`, which a pretrained network "
        "computes from the recording."
    )
    takes_images: bool = Field(description="Whether it classifies spectrogram images; otherwise they get 422.")
    test_accuracy: float | None = Field(description="Accuracy on the test split; null if unknown.")
    synthetic: bool | None = Field(description="Whether the model was trained on synthetic tracks; null if unknown.")
    trained_on: TrainedOn = Field(description="Data that the model was trained on.")
    threshold: float = Field(description="Confidence below which an answer is uncertain.")
    sha256: str = Field(description="SHA-256 of the weights, genres and calibration.")
    card: str = Field(description="Model card, in Markdown.")
    challenger: ModelName | None = Field(description="Model that handles a share of the requests, if any.")
    pretrained: PretrainedFacts | None = Field(
        default=None, description="The network that `/v1/predict?tags=true` uses, if it is installed."
    )
    most_bytes: int = Field(description="Maximum size of a request body, in bytes.")
    most_seconds: float = Field(description="Maximum duration of an audio file, in s.")


class Problem(BaseModel):
    """An error as problem details (RFC 9457)."""

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
    title: str = Field(description="Reason phrase of the status.")
    status: int = Field(description="HTTP status.")
    detail: str = Field(description="What is wrong with the request.")
    request_id: str = Field(description="Id of this request in the endpoint's logs.")
    errors: list[FileError] | None = Field(
        default=None, description="The errors of all files, if the request has several files."
    )
    error: str | None = Field(default=None, description="The same as `detail`; only on paths below `/v2`.")


class Health(BaseModel):
    """Liveness of the process."""

    model_config = _example({"status": "alive"})

    status: Literal["alive"] = Field(default="alive", description="Always this value.")


class Readiness(BaseModel):
    """The models being served."""

    model_config = _example({"status": "ready", "model": _MODEL, "challenger": _CHALLENGER, "trouble": {}})

    status: Literal["ready"] = Field(default="ready", description="Always this value.")
    model: ModelName | None = Field(
        description="Model being served; null while the registry has no champion and the pretrained network "
        "predicts tags instead."
    )
    challenger: ModelName | None = Field(description="Model that handles a share of the requests, if any.")
    trouble: dict[str, str] = Field(
        description="For `model` and `challenger`, why the version in the registry is not being served; empty if "
        "there are no errors."
    )
