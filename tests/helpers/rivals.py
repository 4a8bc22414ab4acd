"""A registry of versions that each always predict one genre, and tracks for comparing them.

The versions are compared on the tracks in LABELS. No version was trained on the first 60 tracks (30 bells, 10 drone
and 20 storm tracks). The next 10 are test tracks of every version, but all versions except BELLS were also trained on
them. A comparison with BELLS therefore uses only 60 of its 70 test tracks.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from mlflow.entities import Metric, Run

from raygenre.data.dataset import Dataset, load
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.model.seen_tracks import SeenTracks
from raygenre.registry import champion, promotion, versions
from raygenre.registry.decision import PromotionDecision
from raygenre.registry.versions import MODEL
from raygenre.spectrogram.image import write_png
from raygenre.system.storage import Storage, resolve
from raygenre.tracking.server import Server
from tests.helpers.storages import empty_storage

DRONE, BELLS, STORM, SYNTHETIC, OTHER_GENRES, FORGETFUL = range(1, 7)  # versions
GENRES = ("bells", "drone", "storm")
LABELS = [0] * 30 + [1] * 10 + [2] * 20 + [0] * 10 + [0, 1, 2] * 5


def write_tracks(folder: Path) -> Path:
    """Write a data set of 85 noise spectrograms."""
    random = np.random.default_rng(0)
    for number, label in enumerate(LABELS):
        path = folder / "images_original" / GENRES[label] / f"{GENRES[label]}{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(write_png(random.integers(0, 256, (128, 333), dtype=np.uint8)))
    return folder


def tracks(folder: Path, cache: Path) -> Dataset:
    return load(folder, cache=cache)


def number(track: str) -> int:
    """Return a track's index in LABELS."""
    return int(track.rpartition(".")[2])


def rival(dataset: Dataset, favourite: int, *, seed: int = 0, genres: tuple[str, ...] = GENRES) -> Classifier:
    """Return a classifier that always predicts `favourite`, with the tracks described in the module's docstring."""
    torch.manual_seed(seed)
    model = GenreCNN(ModelConfig(genres=len(genres), widths=(4, 4, 4)))
    with torch.no_grad():
        list(model.parameters())[-1][favourite] = 20  # the last layer's bias
    numbers = [number(track) for track in dataset.tracks]
    test = [index for index, n in enumerate(numbers) if n < 70]
    train = [index for index, n in enumerate(numbers) if n >= (70 if favourite == 0 else 60)]
    seen = SeenTracks.of(dataset.tracks, dataset.levels, train=train, test=test)
    return Classifier(model, genres, seen=seen)


def register(
    storage: Storage, classifier: Classifier, dataset: Dataset, *, synthetic: bool = False, study: str = "more"
) -> int:
    """Register a classifier as a search would, with a final run nested in the search's run."""
    server = Server(storage)
    folder = storage.root / f"classifier-{len(list(storage.root.glob('classifier-*')))}"
    classifier.save(folder)
    facts = VersionFacts(
        0.5, "t", synthetic, study, Classifier.load(folder).sha256, 70, len(classifier.genres), dataset.source,
        dataset.digest, test_guessing=1 / 3,
    )  # fmt: skip
    search = server.client.create_run(server.experiment_id, run_name=study, tags={"role": "search", "trials": "8"})
    tags = {"role": "final", "mlflow.parentRunId": search.info.run_id, "seed": "7"}
    run = server.client.create_run(server.experiment_id, run_name="final-0001", tags=tags)
    server.client.log_param(run.info.run_id, "dropout", int(folder.name[-1]) / 10)
    losses = [Metric("train_loss", len(study) / step, 0, step) for step in (1, 2, 3)]
    server.client.log_batch(run.info.run_id, [*losses, Metric("test_accuracy", 0.5, 0, 0)])
    return versions.register(server, run.info.run_id, folder, facts)


@dataclass(frozen=True)
class Ring:
    """A registry with versions but without a champion, and the data set on which the versions are compared."""

    storage: Storage
    dataset: Dataset

    @property
    def server(self) -> Server:
        return Server(self.storage)

    def copy(self, root: Path) -> "Ring":
        """Return a copy of the registry with the same versions; their files are shared."""
        root.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.storage.root / "mlflow.db", root / "mlflow.db")
        return Ring(resolve(root), self.dataset)

    def promote(self, version: int, *, force: bool | None = None) -> PromotionDecision:
        """Apply the promotion rule to a version."""
        fetched = versions.fetch(self.server, f"models:/{MODEL}/{version}")
        return promotion.promote_if_better(
            self.server, version, fetched.classifier, fetched.facts, data=lambda: self.dataset, force=force
        )

    @property
    def champion(self) -> int | None:
        current = champion.find(self.server)
        return current.version if current else None

    def tags(self, version: int) -> dict[str, str]:
        return dict(self.server.client.get_model_version(MODEL, str(version)).tags)

    def search(self, version: int) -> Run:
        """Return the run of the search that produced a version."""
        client = self.server.client
        final = client.get_run(client.get_model_version(MODEL, str(version)).run_id or "")
        return client.get_run(final.data.tags["mlflow.parentRunId"])


def new_ring(root: Path) -> Ring:
    """Register all versions and return their registry."""
    storage = empty_storage(root)
    dataset = tracks(write_tracks(root / "tracks"), storage.cache)
    for favourite, study in ((1, "spring"), (0, "summer"), (2, "autumn")):
        register(storage, rival(dataset, favourite), dataset, study=study)
    register(storage, rival(dataset, 0, seed=1), dataset, synthetic=True)
    register(storage, rival(dataset, 0, genres=("bells", "drone")), dataset)
    register(storage, replace(rival(dataset, 0, seed=2), seen=None), dataset)
    return Ring(storage, dataset)
