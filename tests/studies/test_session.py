"""A driver's thread reports the search's needs and applies requests within seconds."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.exceptions import StorageInternalError

from raygenre.search.controls import Controls, Demand
from raygenre.studies import session
from raygenre.studies.grants import share_out
from raygenre.studies.session import DriverSession
from raygenre.studies.shares import Node
from raygenre.studies.store import StudyStore, open_store
from raygenre.studies.study import Needs, Progress
from tests.helpers.processes import until

HERE = "here"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StudyStore]:
    store = open_store(str(tmp_path), None)
    for name in ("spring", "autumn"):
        store.create(name, owner="ann", request="{}", storage="", address="", wishes={})
        store.start(name, 1, job="process 1", scope=HERE)
    yield store
    store.close()


def driver(store: StudyStore, name: str, controls: Controls) -> DriverSession:
    return DriverSession(
        store,
        name,
        1,
        controls=controls,
        first=Needs("starting", 1, 0, 1.0, 0.0),
        share_out=lambda: share_out(store, HERE, [Node(4, 0)]),
        progress=lambda: Progress(1, 0, 0, 8, 0.5, "loss", ()),
        facts=lambda: {"bytes": 5},
    )


def test_a_search_follows_the_wishes(store: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "PERIOD", 0.02)
    spring, autumn = Controls(), Controls()
    with driver(store, "spring", spring) as one, driver(store, "autumn", autumn):
        assert one.wait_for_place()
        one.observe()
        spring.demand = autumn.demand = Demand("trials", 8, 1, 1.0, 0.0)
        until(lambda: (spring.limit, autumn.limit) == (2, 2))
        store.change("spring", max_concurrent=1, trials=20, time_budget=60.0)
        until(lambda: (spring.limit, autumn.limit, spring.trials, spring.time_budget) == (1, 3, 20, 60))
        autumn.demand = Demand("closing", 0, 0, 1.0, 0.0)
        store.change("spring", max_concurrent=None)
        until(lambda: (spring.limit, autumn.limit) == (4, 0))
        store.stop("spring")
        until(lambda: spring.stopping)
        assert not autumn.stopping
    study = store.get("spring")
    assert (study.state, study.completed, study.bytes, study.best) == ("stopping", 1, 5, 0.5)
    assert study.cpu_seconds > 0


def test_a_study_without_a_place_waits_and_can_be_stopped(store: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "PERIOD", 0.02)
    store.limit("ann", 0)
    with driver(store, "spring", Controls()) as waiting:
        answers: list[bool] = []
        thread = threading.Thread(target=lambda: answers.append(waiting.wait_for_place()))
        thread.start()
        until(lambda: store.get("spring").granted == 0)
        assert store.get("spring").state == "queued"
        store.stop("spring")
        thread.join(timeout=10)
    assert answers == [False]


def test_a_driver_reports_despite_unexpected_errors(
    store: StudyStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "PERIOD", 0.02)
    controls, reports = Controls(), []

    def seconds_left() -> float:
        reports.append("report")
        raise StorageInternalError("the database of the trials has restarted")

    def share_out() -> None:
        raise ValueError("a fault in the shares")

    controls.seconds_left = seconds_left
    with DriverSession(
        store,
        "spring",
        1,
        controls=controls,
        first=Needs("starting", 1, 0, 1.0, 0.0),
        share_out=share_out,
        progress=lambda: None,
        facts=dict,
    ):
        until(lambda: len(reports) > 2)
        store.stop("spring")
        until(lambda: controls.stopping)
    errors = capsys.readouterr().err
    assert "ValueError: a fault in the shares" in errors
    assert "StorageInternalError" not in errors


def test_a_driver_whose_study_another_driver_has_stops(store: StudyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "PERIOD", 0.02)
    controls = Controls()
    with driver(store, "spring", controls):
        store.end("spring", 1, "stopped")
        store.restart("spring")
        until(lambda: controls.stopping)
    assert store.get("spring").state == "queued"
