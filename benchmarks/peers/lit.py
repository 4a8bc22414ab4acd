"""LitServe with one worker: `CLASSIFIER=FOLDER python -m benchmarks.peers.lit PORT`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import litserve
import torch
from fastapi import Body

from raygenre.inputs.levels import LEVELS
from raygenre.model.classifier import Classifier


class Genres(litserve.LitAPI):  # type: ignore[misc]
    """Decodes and predicts in the worker process."""

    def setup(self, device: str) -> None:
        """Load the classifier."""
        torch.set_num_threads(1)
        self._classifier = Classifier.load(Path(os.environ["CLASSIFIER"]))

    def decode_request(self, request: Annotated[bytes, Body(media_type="application/octet-stream")]) -> bytes:
        """Pass the file on unchanged."""
        return request

    def predict(self, x: bytes) -> dict[str, float]:
        """Return the probability of each genre."""
        return dict(self._classifier.predict(LEVELS.read(x)).probabilities)

    def encode_response(self, output: dict[str, float]) -> dict[str, float]:
        """Return the response unchanged."""
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Genres(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False)
