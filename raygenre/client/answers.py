"""Types for the endpoint's responses.

A test checks that the types have the same fields as the endpoint's OpenAPI document. Fields that a later version of the
endpoint adds are ignored.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """The base class of all parts of a response."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ModelName(Part):
    """The model that made a prediction.

    Attributes:
        name: name of the registered model or of the model's folder.
        version: version in the registry; empty for a folder.
        run_id: id of the MLflow run that trained the model; empty for a folder.
    """

    name: str
    version: str
    run_id: str

    def __str__(self) -> str:
        """Return the name as `raygenre predict` prints it, such as `raygenre/3`."""
        return f"{self.name}/{self.version}" if self.version else self.name


class TrainedOn(Part):
    """The data that a model was trained on.

    Attributes:
        kind: `synthetic` for a model that was trained only on synthetic sounds, so its predictions for real songs are
            meaningless; `unknown` if the training data was not recorded.
        name: `synthetic`, or the name of the data folder; empty if the data was not recorded.
    """

    kind: Literal["synthetic", "real", "unknown"]
    name: str


class Window(Part):
    """A 30 s window of a song.

    Attributes:
        number: index of the window in the song, starting at 0; silent windows are also counted.
        start, end: times in s from the start of the song.
        genre: most probable genre of the window.
        confidence: probability of that genre.
        probabilities: probability of each genre.
    """

    number: int
    start: float
    end: float
    genre: str
    confidence: float
    probabilities: dict[str, float]


class Answer(Part):
    """The genre of one song.

    Attributes:
        genre: most probable genre.
        confidence: probability of that genre.
        uncertain: whether the confidence is below the model's threshold.
        probabilities: probability of each genre; the values add up to 1.
        windows: results for the windows that contain sound; empty for a PNG.
        model: model that made the prediction.
        trained_on: data that the model was trained on.
        request_id: id of the request in the endpoint's logs.
    """

    genre: str
    confidence: float
    uncertain: bool
    probabilities: dict[str, float]
    windows: tuple[Window, ...]
    model: ModelName
    trained_on: TrainedOn
    request_id: str


class TagWindow(Part):
    """The tags of a 30 s window of a song.

    Attributes:
        number, start, end: as for `Window`.
        tags: probability of each tag, the most probable first.
    """

    number: int
    start: float
    end: float
    tags: dict[str, float]


class TagAnswer(Part):
    """What a song sounds like to the pretrained network: tags, not genres from a trained model.

    Attributes:
        best: the five most probable tags.
        tags: probability of each tag, the most probable first; the values do not add up to 1, since a song has several
            tags.
        windows: the tags of the windows that contain sound.
        note: a reminder that these tags are not the genres of a trained model.
        pretrained: name of the pretrained network.
        source: where its weights come from.
        licence: licence of its weights.
        request_id: id of the request in the endpoint's logs.
    """

    best: tuple[str, ...]
    tags: dict[str, float]
    windows: tuple[TagWindow, ...]
    note: str
    pretrained: str
    source: str
    licence: str
    request_id: str


class PretrainedFacts(Part):
    """The pretrained network, which predicts tags without training.

    Attributes:
        name: name of the network.
        source: where its weights come from.
        licence: licence of its weights.
        tags: the tags, in the order of the network's outputs.
    """

    name: str
    source: str
    licence: str
    tags: tuple[str, ...]


class ModelFacts(Part):
    """The model being served.

    Attributes:
        genres: genres in the order of the model's outputs.
        input: what the model takes as input: `levels` of a spectrogram, or `features` of a recording.
        takes_images: whether the model classifies spectrogram images; otherwise, they are rejected.
        test_accuracy: accuracy on the test split; None if unknown.
        synthetic: whether the model was trained on synthetic tracks; None if unknown.
        threshold: confidence below which an answer is uncertain.
        sha256: SHA-256 of the weights, genres and calibration.
        card: model card, in Markdown.
        challenger: second model, which handles a share of the requests; None if there is none.
        pretrained: the network that predicts tags instead of genres; None if the endpoint does not have it.
        most_bytes: maximum size of a request body, in bytes.
        most_seconds: maximum duration of an audio file, in s.
    """

    model: ModelName
    genres: tuple[str, ...]
    input: Literal["levels", "features"]
    takes_images: bool
    test_accuracy: float | None
    synthetic: bool | None
    trained_on: TrainedOn
    threshold: float
    sha256: str
    card: str
    challenger: ModelName | None
    pretrained: PretrainedFacts | None = None
    most_bytes: int
    most_seconds: float


class Problem(Part):
    """An error from the endpoint, as problem details (RFC 9457); a proxy in front of the endpoint may omit the id."""

    status: int
    detail: str
    request_id: str = ""
