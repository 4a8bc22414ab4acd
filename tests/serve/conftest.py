"""Files to send, and the endpoint that most tests use, which has low limits."""

from collections.abc import Iterator

import httpx
import numpy as np
import pytest
import torch
from ray import serve

from raygenre.audio.synthesis import synthesise
from raygenre.spectrogram.image import write_png
from raygenre.spectrogram.levels import levels
from raygenre.system.storage import Storage
from tests.helpers.serving import new_storage, running
from tests.helpers.sounds import encode


@pytest.fixture(scope="package")
def picture() -> bytes:
    return write_png(levels(torch.from_numpy(synthesise("bells", seed=3))).numpy())


@pytest.fixture(scope="package")
def song() -> bytes:
    """A one-minute song with two windows."""
    samples = np.concatenate([synthesise("bells", seed=60), synthesise("storm", seed=60)])
    return encode(samples, "mp3", "libmp3lame")


@pytest.fixture(scope="package")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return new_storage(tmp_path_factory.mktemp("endpoint"))


@pytest.fixture(scope="package")
def ray_serve(ray_cluster: None) -> Iterator[None]:
    """Shut down Ray Serve after the tests; the first application starts it."""
    yield
    serve.shutdown()


@pytest.fixture(scope="package")
def endpoint(storage: Storage, ray_serve: None) -> Iterator[httpx.Client]:
    with running(
        storage,
        most_bytes=6_000_000,
        most_files=3,
        most_seconds=70,
        request_seconds=5,
        stall_seconds=5,
        job_lease_seconds=2,
        batch=4,
    ) as client:
        yield client
