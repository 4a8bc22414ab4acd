"""Shared fixtures, and the code that marks and groups the tests.

The fixtures include a small data set, a Ray cluster and a finished search.

Heavy libraries are imported inside the fixtures, so that tests that do not need these libraries start immediately.
"""

import io
import os
import re
import signal
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from raygenre.data.dataset import Dataset
    from raygenre.inputs.features import Features
    from raygenre.search.space.config import SearchConfig
    from raygenre.search.study.ledger import Ledger
    from raygenre.system.storage import Storage
    from raygenre.tracking.server import Server
    from raygenre.workflows.tune import Outcome
    from tests.helpers.mlflow_server import MlflowServer
    from tests.helpers.rivals import Ring

# Tests must not write to the tracking server or storage of the user who runs them.
for variable in [name for name in os.environ if name.startswith(("MLFLOW_", "RAYGENRE_", "RAY_ADDRESS"))]:
    del os.environ[variable]
os.environ["RAYGENRE_CACHE"] = str(Path(tempfile.gettempdir()) / "raygenre-cache-of-no-one")  # nothing is installed

# Two pytest workers share the cores with the processes that they start. With more threads than cores, computing a
# spectrogram takes ten times as long, because the threads wait for each other after every block.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Without cached bytecode, every process compiles the modules that it imports, which takes 6 s of CPU time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Without this handler, pytest and its child processes would ignore Ctrl-C if a shell started pytest in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)

GENRES = ("bells", "drone", "storm")
LONGEST_ID = 150  # characters of a parameter in the name of a test
TRACKS = 10  # per genre

GROUPS = {
    "team": "team",
    "ray_serve": "endpoint",
    "ray_cluster": "cluster",
    "mlflow_server": "mlflow",
    "rivals_ring": "registry",
}
"""Expensive fixtures, each with the group of tests that use it; a group runs in one pytest-xdist worker."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip files with only slow tests unless slow tests are selected; importing some files takes several seconds."""
    wanted = config.option.markexpr
    if wanted in ("not slow", "unit", "integration", "unit or integration") and collection_path.suffix == ".py":
        return bool(re.search(r"^pytestmark = .*mark\.slow\b", collection_path.read_text(), re.MULTILINE)) or None
    return None


def pytest_make_parametrize_id(val: object) -> str | None:
    """Return a short id for a long text or file; pytest would put all of it into the test's name."""
    if isinstance(val, (str, bytes)) and len(val) > LONGEST_ID:
        content = val.encode(errors="surrogatepass") if isinstance(val, str) else val
        return f"{len(content)}-bytes-{zlib.crc32(content):08x}"
    return None


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests as `integration` or `unit`, and group them by the expensive fixture that they share, or else by file.

    Workers process the groups in the order of the tests, so the tests are sorted to start the longest groups first.
    """
    order = {}
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        group = next((group for fixture, group in GROUPS.items() if fixture in fixtures), "")
        if group in ("endpoint", "cluster", "mlflow") and not item.get_closest_marker("slow"):
            item.add_marker("integration")
        integration = item.get_closest_marker("integration")
        if not integration and not item.get_closest_marker("slow"):
            item.add_marker("unit")
        item.add_marker(pytest.mark.xdist_group(group or item.path.name))
        order[item] = list(GROUPS.values()).index(group) if group else len(GROUPS) + (integration is None)
    items.sort(key=order.__getitem__)


@pytest.fixture(autouse=True)
def nothing_left_in_the_environment() -> Iterator[None]:
    """Fail a test that leaves MLflow's settings in the environment, where they would break later tests."""
    yield
    left = [name for name in os.environ if name.startswith("MLFLOW_HTTP_")]
    for name in left:
        del os.environ[name]
    assert not left, "was a tracker not closed?"


@dataclass(frozen=True)
class FinishedSearch:
    """A finished search and its printed output."""

    storage: "Storage"
    ledger: "Ledger"
    dataset: "Dataset"
    outcome: "Outcome"
    printed: str

    @property
    def server(self) -> "Server":
        from raygenre.tracking.server import Server

        return Server(self.storage)


@pytest.fixture(scope="session")
def tracks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty tracks of three synthetic genres as PNGs in the Kaggle layout."""
    import torch

    from raygenre import spectrogram
    from raygenre.audio.synthesis import synthesise

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
def tracks(tracks_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> "Dataset":
    from raygenre.data.dataset import load

    return load(tracks_folder, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def songs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty 4 s recordings of three synthetic genres, with one folder per genre."""
    from raygenre.audio.synthesis import synthesise
    from tests.helpers.sounds import encode

    root = tmp_path_factory.mktemp("songs")
    for genre in GENRES:
        (root / genre).mkdir()
        for number in range(TRACKS):
            samples = synthesise(genre, seed=number)[: 4 * 22_050]
            (root / genre / f"{genre}{number:02d}.wav").write_bytes(encode(samples))
    return root


@pytest.fixture(scope="session")
def songs(songs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> "Dataset":
    from raygenre.data.dataset import load

    return load(songs_folder, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> "Features":
    """The features of a small pretrained network with random weights."""
    from tests.helpers.musicnn import small_features

    return small_features(tmp_path_factory.mktemp("pretrained") / "network")


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    import ray

    from raygenre.search.trials.cluster import connect
    from serve.network import proxy_environment

    proxy_environment.set_defaults()  # the endpoint tests need them; `make serve` also sets them
    connect(None)
    yield
    ray.shutdown()


def small_config(tracks: "Dataset", **changes: object) -> "SearchConfig":
    """Return the configuration of a search that takes only a few seconds."""
    from raygenre.search.space.config import SearchConfig

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
    space = {"width": 8} | changes.pop("space", {})  # type: ignore[operator]  # a sixteenth of the usual computation
    return SearchConfig(**fields | changes, space=space)  # type: ignore[arg-type]


def new_ledger(
    studies: Path, tracks: "Dataset", name: str = "study", *, url: str | None = None, **changes: object
) -> "Ledger":
    from raygenre.data import splits
    from raygenre.search.study.ledger import Ledger
    from raygenre.system.location import Location

    config = small_config(tracks, **changes)
    split = splits.random_split(
        tracks, seed=config.seed, folds=config.folds, validation=config.validation, duplicates=[]
    )
    return Ledger.create(Location(str(studies)), name, config=config, split=split, url=url)


@pytest.fixture(scope="session")
def finished(tracks: "Dataset", ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> FinishedSearch:
    from raygenre.search.space.config import Resources
    from raygenre.search.trials.phases import TextDisplay
    from raygenre.system.storage import resolve
    from raygenre.tracking.server import Server
    from raygenre.workflows import tune

    storage = resolve(tmp_path_factory.mktemp("finished"), None)
    ledger = new_ledger(storage.studies.folder, tracks, folds=2, patience=9, warm_start=["spring trial 3"])
    text = io.StringIO()
    # Promotion is forced, because two epochs on thirty tracks may produce a model that is no better than chance.
    server = Server(storage)
    outcome = tune.run(ledger, tracks, server, resources=Resources(1, 0), promote=True, display=TextDisplay(text))
    return FinishedSearch(storage, ledger, tracks, outcome, text.getvalue())


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[MlflowServer]":
    """A tracking server for tests that do not stop it."""
    from tests.helpers.mlflow_server import MlflowServer

    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def rivals_ring(tmp_path_factory: pytest.TempPathFactory) -> "Ring":
    from tests.helpers.rivals import new_ring

    return new_ring(tmp_path_factory.mktemp("rivals"))
