"""The answer to a song, from a model's prediction."""

from dataclasses import asdict

from raygenre.inputs.kind import Song
from raygenre.model.classifier import Prediction
from serve.inference.live_models import LiveModel
from serve.schema import Answer, TrainedOn, Window


def answer(prediction: Prediction, song: Song, model: LiveModel, request_id: str) -> Answer:
    """Return the response for a song."""
    windows = []
    timed_windows = zip(song.numbers, song.times, prediction.windows, strict=bool(song.times))
    for number, (start, end), probabilities in timed_windows:
        genre = max(probabilities, key=lambda name: probabilities[name])
        windows.append(
            Window(
                number=number,
                start=start,
                end=end,
                genre=genre,
                confidence=probabilities[genre],
                probabilities=dict(probabilities),
            )
        )
    return Answer(
        genre=prediction.genre,
        confidence=prediction.confidence,
        uncertain=prediction.uncertain,
        probabilities=dict(prediction.probabilities),
        windows=windows,
        model=model.name,
        trained_on=TrainedOn(**asdict(model.trained_on)),
        request_id=request_id,
    )
