"""What several tests share: a small data set, one Ray cluster for all, and one finished search."""

import io
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import ray
import torch
from rich.console import Console

from raygenre import job, spectrogram, splits
from raygenre.dataset import Dataset, load
from raygenre.place import Place
from raygenre.search.cluster import connect
from raygenre.search.config import Resources, SearchConfig
from raygenre.search.ledger import Ledger
from raygenre.storage import Storage, resolve
from raygenre.synthesis import synthesise
from serve import proxies
from tests.rivals import Ring, new_ring

# No test may write to a tracking server or a storage that the person who runs it works with.
for variable in [name for name in os.environ if name.startswith(("MLFLOW_", "RAYGENRE_", "RAY_ADDRESS"))]:
    del os.environ[variable]

# A shell that starts the tests in the background has them ignore Ctrl-C, and all processes that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

GENRES = ("bells", "drone", "storm")
TRACKS = 10  # per genre


@dataclass(frozen=True)
class FinishedSearch:
    """A search that ran to its end, and what it printed."""

    storage: Storage
    ledger: Ledger
    dataset: Dataset
    outcome: job.Outcome
    printed: str


@pytest.fixture(scope="session")
def tracks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty tracks of three synthetic genres as PNGs in the Kaggle layout."""
    root = tmp_path_factory.mktemp("tracks")
    for genre in GENRES:
        folder = root / "images_original" / genre
        folder.mkdir(parents=True)
        for number in range(TRACKS):
            samples = torch.from_numpy(synthesise(genre, seed=number))
            levels = spectrogram.levels(samples).numpy()
            (folder / f"{genre}{number:05d}.png").write_bytes(spectrogram.write_png(levels))
    return root


@pytest.fixture(scope="session")
def tracks(tracks_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load(tracks_folder, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    proxies.set_defaults()  # as `make serve` does, for the tests of the endpoint
    connect(None)
    yield
    ray.shutdown()


def small_config(tracks: Dataset, **changes: object) -> SearchConfig:
    """A search of seconds."""
    fields = {
        "data": tracks.source,
        "data_digest": tracks.digest,
        "split": "random",
        "trials": 3,
        "epochs": 2,
        "seed": 0,
        "folds": 1,
        "validation": 0.25,
        "top_k": 1,
        "sampler": "tpe",
        "scheduler": "none",
        "batch_size": 8,
        "augmentation": "none",
    }
    space = {"width": 8} | changes.pop("space", {})  # type: ignore[operator]  # a sixteenth of the usual network's work
    return SearchConfig(**fields | changes, space=space)  # type: ignore[arg-type]


def new_ledger(
    studies: Path, tracks: Dataset, name: str = "study", *, url: str | None = None, **changes: object
) -> Ledger:
    config = small_config(tracks, **changes)
    split = splits.random_split(
        tracks, seed=config.seed, folds=config.folds, validation=config.validation, duplicates=[]
    )
    return Ledger.create(Place(str(studies)), name, config=config, split=split, url=url)


@pytest.fixture(scope="session")
def finished(tracks: Dataset, ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> FinishedSearch:
    storage = resolve(tmp_path_factory.mktemp("finished"), None)
    ledger = new_ledger(storage.studies.folder, tracks, folds=2)
    text = io.StringIO()
    outcome = job.run(
        ledger, tracks, storage, resources=Resources(1, 0), promote=None, console=Console(file=text, width=200)
    )
    return FinishedSearch(storage, ledger, tracks, outcome, text.getvalue())


@pytest.fixture(scope="session")
def rivals_ring(tmp_path_factory: pytest.TempPathFactory) -> Ring:
    return new_ring(tmp_path_factory.mktemp("rivals"))
