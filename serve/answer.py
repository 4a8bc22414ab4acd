"""Builds the answer for a song from a model's prediction."""

from dataclasses import asdict

from raygenre.inputs.kind import Song
from raygenre.model.classifier import Prediction
from serve.inference.live_models import LiveModel
from serve.schema import Answer, TrainedOn, Window


def answer(prediction: Prediction, song: Song, model: LiveModel, request_id: str) -> Answer:
    """Return the response for a song."""
    return Answer(
        genre=prediction.genre,
        confidence=prediction.confidence,
        uncertain=prediction.uncertain,
        probabilities=dict(prediction.probabilities),
        windows=windows_of(song, prediction),
        model=model.name,
        trained_on=TrainedOn(**asdict(model.trained_on)),
        request_id=request_id,
    )


def windows_of(song: Song, prediction: Prediction) -> list[Window]:
    """Return the answers for the windows of a song, or of a part of a song; an image has no windows."""
    windows = []
    for number, (start, end), row in zip(song.numbers, song.times, prediction.windows, strict=bool(song.times)):
        genre = max(row, key=lambda name: row[name])
        windows.append(
            Window(number=number, start=start, end=end, genre=genre, confidence=row[genre], probabilities=dict(row))
        )
    return windows
