"""The studies database: states, starts, dead drivers and shares."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from raygenre.studies.grants import share_out
from raygenre.studies.shares import Node
from raygenre.studies.store import MAX_SILENCE_SECONDS, StudiesError, StudyStore, open_store
from raygenre.studies.study import Needs, Progress, Study
from raygenre.studies.table import studies

TWO = Needs("trials", 2, 1, 1.0, 0.0)
PROGRESS = Progress(3, 2, 1, 8, 0.5, "loss", ("trial 4: diverged",))
HERE = "machine one"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StudyStore]:
    store = open_store(str(tmp_path / "results"), None)
    yield store
    store.close()


def submit(store: StudyStore, name: str, owner: str = "ann", **wishes: int) -> None:
    store.create(name, owner=owner, request="{}", storage="", address="", wishes=wishes)


def start(store: StudyStore, name: str, attempt: int = 1) -> bool:
    return store.start(name, attempt, job="process 1", scope=HERE)


def report(store: StudyStore, name: str, attempt: int = 1, needs: Needs = TWO, **facts: Any) -> Study | None:
    return store.report(name, attempt, needs=needs, seconds=10, progress=PROGRESS, facts=facts)


def test_a_study_runs_when_it_has_a_place(store: StudyStore) -> None:
    submit(store, "spring", priority=2)
    assert start(store, "spring")
    queued = report(store, "spring")
    assert queued
    assert (queued.state, queued.granted) == ("queued", None)
    share_out(store, HERE, [Node(4, 0)])
    running = report(store, "spring", bytes=7)
    assert running
    assert (running.state, running.granted, running.priority, running.bytes) == ("running", 2, 2, 7)
    assert (running.completed, running.pruned, running.failed, running.total) == (3, 2, 1, 8)
    assert running.cpu_seconds == 20
    store.end("spring", 1, "done")
    done = store.get("spring")
    assert (done.state, done.running, done.granted, done.best) == ("done", 0, None, 0.5)


def test_a_name_is_taken_once(store: StudyStore) -> None:
    submit(store, "spring")
    with pytest.raises(StudiesError, match="the study spring already exists"):
        submit(store, "spring", owner="bob")
    with pytest.raises(StudiesError, match="there is no study autumn; submitted studies: spring"):
        store.get("autumn")


def test_a_stopped_study_has_no_driver(store: StudyStore) -> None:
    submit(store, "spring")
    assert store.stop("spring") == "stopped"
    assert not start(store, "spring")


def test_a_running_study_stops_and_continues(store: StudyStore) -> None:
    submit(store, "spring")
    start(store, "spring")
    assert store.stop("spring") == "stopping"
    with pytest.raises(StudiesError, match="the study spring is stopping; stop it first"):
        store.restart("spring")
    assert (study := report(store, "spring"))
    assert study.state == "stopping"
    store.end("spring", 1, "stopped")
    assert store.restart("spring") == 2
    assert report(store, "spring") is None, "the first driver no longer has the study"
    store.end("spring", 1, "failed", error="too late")
    assert start(store, "spring", attempt=2)
    assert store.get("spring").error == ""


def test_a_dead_driver_is_seen_and_named(store: StudyStore) -> None:
    for name in ("dead", "alive", "waiting"):
        submit(store, name)
    for name in ("dead", "alive"):
        start(store, name)
        report(store, name, seconds_left=60.0)
    later(store, "dead", MAX_SILENCE_SECONDS + 1)
    later(store, "waiting", MAX_SILENCE_SECONDS + 1)
    assert {study.name: study.state for study in store.all()} == {
        "dead": "failed",
        "alive": "queued",
        "waiting": "queued",
    }
    assert store.get("dead").error == "its driver (process 1) has not reported for 30 s"
    assert store.get("dead").seconds_left is None
    share_out(store, HERE, [Node(4, 0)])
    assert store.get("dead").granted is None


def test_a_slow_driver_has_its_study_back(store: StudyStore) -> None:
    submit(store, "slow")
    start(store, "slow")
    later(store, "slow", MAX_SILENCE_SECONDS + 1)
    assert store.get("slow").state == "failed"
    assert (study := report(store, "slow"))
    assert (study.state, study.error) == ("running", "")


def test_wishes_and_limits_decide_about_places(store: StudyStore) -> None:
    for name, owner in (("a", "ann"), ("b", "ann"), ("c", "bob")):
        submit(store, name, owner)
        start(store, name)
        report(store, name, needs=Needs("trials", 9, 0, 1.0, 0.0))

    claimed: dict[str, int] = {}  # for the cluster's autoscaler

    def shares() -> dict[str, int | None]:
        claims = share_out(store, HERE, [Node(6, 0)])
        claimed.update((claim.name, claim.places) for claim in claims)
        return {study.name: study.granted for study in store.all()}

    assert shares() == {"a": 2, "b": 2, "c": 2}
    store.change("a", max_concurrent=1)
    store.change("c", priority=1)
    assert shares() == {"a": 0, "b": 0, "c": 6}
    store.limit("bob", 1)
    assert shares() == {"a": 1, "b": 4, "c": 1}
    store.limit("bob", None)
    store.limit("", 2)
    assert shares() == {"a": 1, "b": 1, "c": 2}
    assert claimed == {"a": 1, "b": 1, "c": 2}
    store.stop("c")
    assert shares() == {"a": 1, "b": 1, "c": 0}
    share_out(store, "another machine", [Node(99, 0)])
    assert shares() == {"a": 1, "b": 1, "c": 0}


def test_reading_creates_no_database(tmp_path: Path) -> None:
    assert open_store(str(tmp_path / "results"), None).all() == []
    assert not (tmp_path / "results").exists()


def test_an_unusable_database_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(StudiesError, match=r"127\.0\.0\.1:1/x \(--study-url\), cannot be used: .* refused") as raised:
        open_store(None, "postgresql+psycopg2://ann:s3cret@127.0.0.1:1/x").all()
    assert "s3cret" not in str(raised.value)
    with pytest.raises(StudiesError, match="--study-url is not the URL of a database"):
        open_store(None, "secret")
    with pytest.raises(StudiesError, match="need a database; use --study-url"):
        open_store("s3://bucket/path", None, "http://127.0.0.1:1")


def later(store: StudyStore, name: str, seconds: float) -> None:
    """Backdate a study's last report by the given number of seconds."""
    with store._database.transaction() as connection:
        connection.execute(update(studies).where(studies.c.name == name).values(heartbeat_at=time.time() - seconds))
