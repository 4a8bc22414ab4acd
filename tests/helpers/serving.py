"""An endpoint for tests, and registries with models whose answers are known.

The endpoint is the real application running on Ray Serve.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from ray import serve

from raygenre.audio.synthesis import synthesise
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.inputs.features import Features
from raygenre.inputs.levels import LEVELS
from raygenre.model.classifier import Classifier
from raygenre.model.input_drift import Reference
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.registry import champion, versions
from raygenre.spectrogram.levels import levels
from raygenre.system.storage import Storage
from raygenre.tracking.server import Server
from serve.app import app
from serve.settings import Settings
from tests.helpers.mlflow_server import free_port
from tests.helpers.musicnn import small_head
from tests.helpers.sounds import encode
from tests.helpers.storages import empty_storage

PORT = free_port()
GENRES = ("bells", "drone", "storm")
NARROW = ModelConfig(genres=len(GENRES), widths=(4, 4, 4), dense=4, crop_columns=96)


def register(
    storage: Storage,
    *,
    favourite: int,
    promote: bool = True,
    model: ModelConfig = NARROW,
    steps: int = 0,
    features: Features | None = None,
) -> int:
    """Register a model that, unless trained, nearly always predicts `favourite`, and return its version.

    Args:
        model: configuration of the network, if levels are its input.
        steps: number of training steps for this network.
        features: features that the model takes as its input, or None for levels.
    """
    server = Server(storage)
    torch.manual_seed(favourite)
    network = GenreCNN(model) if features is None else small_head(features, GENRES, seed=favourite).model
    with torch.no_grad():
        list(network.parameters())[-1][favourite] = 3 if features is None else 1000  # the last layer's bias
    if isinstance(network, GenreCNN):
        train(network, steps)
    kind = features or LEVELS
    examples = np.concatenate([kind.read(encode(synthesise(genre, seed=0))).windows for genre in GENRES])
    reference = Reference.of(kind.summaries(examples))
    origin = {"level_distribution": reference.to_json(), "study": "none", "data_digest": "0" * 64}
    folder = storage.root / f"classifier-{len(list(storage.root.glob('classifier-*')))}"
    Classifier(network, GENRES, origin=origin, input=kind).save(folder)
    sha256 = Classifier.load(folder).sha256
    evidence = VersionFacts(test_accuracy=0.75, test_digest="t", synthetic=True, study="none", sha256=sha256)
    run = server.client.create_run(server.experiment_id, run_name=folder.name)
    version = versions.register(server, run.info.run_id, folder, evidence)
    if promote:
        champion.promote(server, version)
    return version


def train(network: GenreCNN, steps: int) -> None:
    """Train a network on a few tracks of each genre."""
    if not steps:
        return
    tracks = [levels(torch.from_numpy(synthesise(genre, seed=seed))) for seed in range(8) for genre in GENRES]
    inputs, targets = torch.stack(tracks), torch.arange(len(tracks)) % len(GENRES)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(steps):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network.train()(inputs), targets).backward()
        optimiser.step()
    network.eval()


def new_storage(root: Path, model: ModelConfig = NARROW) -> Storage:
    """Return a storage with a champion, version 1, that predicts the first genre."""
    storage = empty_storage(root)
    register(storage, favourite=0, model=model)
    return storage


@contextmanager
def running(
    storage: Storage, *, name: str = "endpoint", prefix: str = "/", **settings: object
) -> Iterator[httpx.Client]:
    """Run the endpoint on the running cluster; the endpoint's settings are in the environment only while it starts."""
    variables = {"storage": storage.root, "max_replicas": 1, "replica_cpus": 0} | settings
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    try:
        # Two endpoints with different settings may run at the same time.
        with pytest.MonkeyPatch.context() as patch:
            for key, value in variables.items():
                patch.setenv(f"RAYGENRE_{key.upper()}", str(value))
            application = app(Settings())
        serve.run(application, name=name, route_prefix=prefix)
        with httpx.Client(base_url=f"http://127.0.0.1:{PORT}{prefix}", timeout=60) as client:
            yield client
    finally:
        serve.delete(name)
