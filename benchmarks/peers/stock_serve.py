"""Ray Serve with default settings: `CLASSIFIER=FOLDER serve run benchmarks.peers.stock_serve:app`."""

import os
from pathlib import Path

import torch
from ray import serve
from starlette.requests import Request

from raygenre.inputs.levels import LEVELS
from raygenre.model.classifier import Classifier


@serve.deployment
class Genres:
    """A deployment with one replica."""

    def __init__(self, folder: str) -> None:
        torch.set_num_threads(1)
        self._classifier = Classifier.load(Path(folder))

    async def __call__(self, request: Request) -> dict[str, float]:
        """Return the probability of each genre."""
        return dict(self._classifier.predict(LEVELS.read(await request.body())).probabilities)


app = Genres.bind(os.environ["CLASSIFIER"])  # type: ignore[attr-defined]
