"""The endpoint's JSON responses with tags instead of genres."""

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from raygenre.pretrained.tags import NOTE
from serve.schema import EXAMPLES, FileError, PretrainedFacts

_TAGS: dict[str, JsonValue] = {"jazz": 0.62, "blues": 0.31, "60s": 0.12}
_TAG_WINDOW: dict[str, JsonValue] = {"number": 0, "start": 0.0, "end": 29.92, "tags": _TAGS}
TAG_EXAMPLE: dict[str, JsonValue] = {
    "best": ["jazz", "blues", "60s"],
    "tags": _TAGS,
    "windows": [_TAG_WINDOW],
    "note": NOTE,
    "pretrained": "MSD_musicnn",
    "source": "musicnn 0.1.0",
    "licence": "ISC",
    "request_id": EXAMPLES["id"],
}


def _example(value: JsonValue) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": value})


class TagWindow(BaseModel):
    """The tags of a 30 s window of a song."""

    model_config = _example(_TAG_WINDOW)

    number: int = Field(description="Index of the window in the song, starting at 0 and counting silent windows.", ge=0)
    start: float = Field(description="Start of the window, in s from the start of the song.", ge=0)
    end: float = Field(description="End of the window, in s from the start of the song.", gt=0)
    tags: dict[str, float] = Field(description="Probability of each tag, the most probable first.")


class TagAnswer(BaseModel):
    """What a song sounds like to the pretrained network: tags, not genres of a trained model."""

    model_config = _example(TAG_EXAMPLE)

    best: list[str] = Field(description="The five most probable tags.")
    tags: dict[str, float] = Field(
        description="Probability of each of the fifty tags, the most probable first. They do not add up to 1, because "
        "a song has several tags."
    )
    windows: list[TagWindow] = Field(description="The tags of the windows of the song, without silent windows.")
    note: str = Field(default=NOTE, description="States that these are not the genres of a trained model.")
    pretrained: str = Field(description="Name of the pretrained network.")
    source: str = Field(description="Where its weights come from.")
    licence: str = Field(description="Licence of its weights.")
    request_id: str = Field(description="Id of this request in the endpoint's logs.")


class TagAnswers(BaseModel):
    """The tags of the files in a form."""

    model_config = _example({"predictions": [TAG_EXAMPLE, None], "errors": [EXAMPLES["error"]]})

    predictions: list[TagAnswer | None] = Field(
        description="One answer per file, in order; null for a file in `errors`."
    )
    errors: list[FileError] = Field(description="The files without an answer, in order.")


class TagFacts(BaseModel):
    """What is being served while the registry has no champion: the pretrained network."""

    model_config = _example(
        {
            "model": None,
            "reason": "there is no model models:/raygenre@champion",
            "pretrained": EXAMPLES["pretrained"],
            "note": NOTE,
            "most_bytes": 350_000_000,
            "most_seconds": 1800,
        }
    )

    model: None = Field(default=None, description="Always null.")
    reason: str = Field(description="Why no model is being served.")
    pretrained: PretrainedFacts = Field(description="The network that `/v1/predict` uses until there is a champion.")
    note: str = Field(default=NOTE, description="States that its tags are not the genres of a trained model.")
    most_bytes: int = Field(description="Maximum size of a request body, in bytes.")
    most_seconds: float = Field(description="Maximum duration of an audio file, in s.")
