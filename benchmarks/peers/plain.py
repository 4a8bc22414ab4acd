"""FastAPI and uvicorn with one worker: `CLASSIFIER=FOLDER uvicorn benchmarks.peers.plain:app`."""

import os
from pathlib import Path
from typing import Annotated

import torch
from fastapi import Body, FastAPI

from raygenre.inputs.levels import LEVELS
from raygenre.model.classifier import Classifier

torch.set_num_threads(1)
classifier = Classifier.load(Path(os.environ["CLASSIFIER"]))
app = FastAPI()


@app.post("/predict")
def predict(file: Annotated[bytes, Body(media_type="application/octet-stream")]) -> dict[str, float]:
    """Return the probability of each genre."""
    return dict(classifier.predict(LEVELS.read(file)).probabilities)
