"""A study behind Optuna's gRPC storage proxy."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from optuna.storages import RDBStorage, get_storage
from optuna.storages._grpc.server import make_server
from optuna.trial import TrialState

from raygenre.data.dataset import Dataset
from raygenre.search.space.samplers import sampler
from raygenre.search.study import backend
from raygenre.search.study.backend import STORAGE_ERRORS, StudyError, storage_error_text
from raygenre.search.study.ledger import Ledger
from raygenre.system.location import Location
from tests.conftest import new_ledger


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextmanager
def proxy(folder: Path) -> Iterator[str]:
    """Serve a proxy for an SQLite database, and yield the proxy's address."""
    port = free_port()
    server = make_server(get_storage(RDBStorage(f"sqlite:///{folder / 'team.db'}")), "127.0.0.1", port)
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def test_a_ledger_works_behind_a_proxy(tracks: Dataset, tmp_path: Path) -> None:
    with proxy(tmp_path) as url:
        ledger = new_ledger(tmp_path / "studies", tracks, url=url)
        draw = sampler("random", seed=0, trials=9)
        first, second = (ledger.start_trial(draw, ledger.config.distributions).number for _ in range(2))
        for epoch in (1, 2):
            ledger.report(first, epoch=epoch, loss=1 / epoch)
        assert ledger.finish(first) is TrialState.COMPLETE
        ledger.note(first, "late", 1)
        ledger.report(second, epoch=1, loss=0.1)
        ledger.extend(5)
        ledger.close()
        again = Ledger.open(Location(str(tmp_path / "studies")), "study", url=url)
        assert [trial.number for trial in again.top(2)] == [first]
        assert [trial.number for trial in again.unfinished()] == [second]
        assert (again.loss(first), again.config.trials) == (0.5, 5)
        assert "late" not in again.trial(first).user_attrs


def test_an_unreachable_proxy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_PROXY_TIMEOUT", 0.2)
    port = free_port()
    with pytest.raises(StudyError, match=f"no Optuna gRPC storage proxy responds at --study-url .*:{port}"):
        backend.storage(tmp_path, f"grpc://127.0.0.1:{port}")
    with pytest.raises(StudyError, match="is not grpc://HOST:PORT"):
        backend.storage(tmp_path, "grpc://database")


def test_a_proxy_that_dies_gives_one_line(tracks: Dataset, tmp_path: Path) -> None:
    with proxy(tmp_path) as url:
        ledger = new_ledger(tmp_path / "studies", tracks, url=url)
    with pytest.raises(STORAGE_ERRORS) as error:
        ledger.study.set_user_attr("a", 1)
    text = storage_error_text(error.value)
    assert text.startswith("the gRPC storage proxy failed: ")
    assert len(text.splitlines()) == 1
