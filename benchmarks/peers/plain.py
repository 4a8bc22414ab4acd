"""FastAPI and uvicorn, one worker: `uvicorn benchmarks.peers.plain:app`. `CLASSIFIER` names the folder."""

import os
from pathlib import Path
from typing import Annotated

import torch
from fastapi import Body, FastAPI

from raygenre.model.classifier import Classifier
from raygenre.spectrogram.song import read

torch.set_num_threads(1)
classifier = Classifier.load(Path(os.environ["CLASSIFIER"]))
app = FastAPI()


@app.post("/predict")
def predict(file: Annotated[bytes, Body(media_type="application/octet-stream")]) -> dict[str, float]:
    """Probabilities by genre."""
    return dict(classifier.predict(read(file)).probabilities)
