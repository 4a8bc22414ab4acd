"""Two users' studies on three nodes, with tokens, PostgreSQL and S3; components are killed."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from raygenre.search.study.create_or_load import ID
from raygenre.system.storage import Storage
from raygenre.tracking.mlflow_writer import KEY
from raygenre.tracking.server import Server
from tests.helpers.mlflow_server import MlflowServer
from tests.helpers.postgres import Postgres
from tests.helpers.processes import titled, until
from tests.helpers.ray_nodes import RayNodes, ray_nodes
from tests.helpers.submitted import Service, submitted
from tests.servers.conftest import BUCKET, KEYS
from tests.servers.test_url import url_of

pytestmark = pytest.mark.slow

STUDIES = {"spring": 4, "autumn": 6, "winter": 4}
OWNERS = {"spring": "ann", "autumn": "bob", "winter": "bob"}
EPOCHS = 20
MINUTE = 60.0  # s


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayNodes]:
    with ray_nodes(1, {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}) as nodes:
        for name in ("second", "third"):
            nodes.add(name, cpus=1)
        yield nodes


@pytest.fixture(scope="module")
def study_url(postgres: Postgres) -> str:
    return postgres.create("shared_studies")


@pytest.fixture
def service(s3: Any, study_url: str, mlflow_server: MlflowServer, nodes: RayNodes, tmp_path: Path) -> Service:
    return Service(
        url_of(s3.meta.endpoint_url, f"{BUCKET}/shared"),
        {
            **nodes.environment,
            **KEYS,
            "RAY_ADDRESS": nodes.address,
            "RAYGENRE_STUDY_URL": study_url,
            "MLFLOW_TRACKING_URI": mlflow_server.uri,
            "XDG_CACHE_HOME": str(tmp_path),
        },
    )


def options(study: str, data: Path) -> list[str]:
    passed = [option for name in KEYS for option in ("--env", name)]
    return [*submitted(study, data, trials=STUDIES[study], epochs=EPOCHS), "--user", OWNERS[study], *passed]


@contextmanager
def shares_of_each_minute(service: Service) -> Iterator[list[dict[str, tuple[float, float]]]]:
    """Yield a list that gets a new item per minute: each study's mean numbers of used and granted places."""
    minutes: list[dict[str, tuple[float, float]]] = []
    ended = threading.Event()

    def sample() -> None:
        samples: dict[str, list[tuple[int, int]]] = {study: [] for study in STUDIES}
        until = time.monotonic() + MINUTE
        while not ended.wait(0.5):
            for study, record in service.list().items():
                samples[study].append((record["places"]["running"], record["places"]["granted"] or 0))
            if time.monotonic() > until:
                minutes.append(
                    {study: tuple(np.mean(places, axis=0).round(2).tolist()) for study, places in samples.items()}
                )
                samples, until = {study: [] for study in STUDIES}, time.monotonic() + MINUTE

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield minutes
    finally:
        ended.set()
        thread.join()


def test_studies_survive_their_surroundings(
    service: Service,
    study_url: str,
    mlflow_server: MlflowServer,
    nodes: RayNodes,
    tracks_folder: Path,
    record_property: Callable[[str, object], None],
) -> None:
    service.call("set", "--user-limit", "0")  # so that no study ends before all have started
    with service.start("submit", *options("spring", tracks_folder)) as submitter, ThreadPoolExecutor() as pool:
        others = [pool.submit(service.call, "submit", *options(study, tracks_folder)) for study in ("autumn", "winter")]
        while not any(study.name == "spring" and study.job for study in service.studies()):
            assert submitter.poll() is None
            time.sleep(0.1)
        submitter.kill()
        for other in others:
            other.result()
    until(lambda: all(study.phase == "trials" for study in service.studies()), 240)
    with shares_of_each_minute(service) as minutes:
        service.call("set", "--no-user-limit")
        until(lambda: [study.granted for study in service.studies()] == [1, 1, 1], 60)
        service.wait_for("spring", lambda record: record["places"]["running"] > 0)
        nodes.kill("second")
        [arbiter] = titled("ray::Arbiter")
        os.kill(arbiter, signal.SIGKILL)
        service.call("stop", "spring")
        nodes.add("fourth", cpus=1)
        service.wait_for("spring", lambda record: record["state"] == "stopped")
        service.wait_for("autumn", lambda record: record["places"]["running"] >= 2)
        service.call("set", "autumn", "--max-concurrent", "1")
        service.wait_for("autumn", lambda record: record["places"]["running"] == 1, timeout=20)
        service.call("resume", "spring")
        for study, trials in STUDIES.items():
            record = service.wait_for(study, lambda record: record["state"] == "done", timeout=600)
            assert record["trials"] == {"completed": trials, "pruned": 0, "failed": 0, "total": trials}
            assert record["places"]["running"] == 0
    record_property("places used and granted, by minute", json.dumps(minutes))
    assert minutes
    for shares in minutes:
        assert all(abs(used - granted) <= 1 for used, granted in shares.values()), shares
    server = Server(Storage(Path("/unused"), mlflow_server.uri))
    for study, trials in STUDIES.items():
        stored = optuna.load_study(study_name=study, storage=study_url)
        assert [trial.state for trial in stored.trials] == [TrialState.COMPLETE] * trials
        assert all(sorted(trial.intermediate_values) == [*range(1, EPOCHS + 1)] for trial in stored.trials)
        own = f"tags.`{KEY}` LIKE '{stored.user_attrs[ID]}/%'"
        runs = server.client.search_runs([server.experiment_id], own)
        assert {run.info.status for run in runs} == {"FINISHED"}
        assert sum(run.data.tags["role"] == "trial" for run in runs) == trials
    shown = service.call("show", "spring").stdout
    assert f"{mlflow_server.uri}/#/experiments/" in shown


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"RAY_AUTH_TOKEN": "x" * 40}, [], "rejected the request"),
        ({"RAYGENRE_STUDY_URL": "postgresql+psycopg2://ann:wrong@127.0.0.1:1/x"}, [], "cannot be used"),
        ({"RAYGENRE_STORAGE": "no-such-bucket"}, [], "the bucket no-such-bucket of"),
        ({}, ["--image-code"], "the cluster cannot run raygenre: ModuleNotFoundError: No module named 'raygenre'"),
    ],
)
def test_what_is_missing_is_reported_at_once(
    service: Service,
    s3: Any,
    study_url: str,
    tracks_folder: Path,
    changes: dict[str, str],
    options: list[str],
    message: str,
) -> None:
    if bucket := changes.pop("RAYGENRE_STORAGE", ""):
        service.storage = url_of(s3.meta.endpoint_url, f"{bucket}/shared")
    service.change(changes)
    result: subprocess.CompletedProcess[str] = service.call(
        "submit", "--data", str(tracks_folder), "--study", "summer", *options, check=False
    )
    assert result.returncode == 2, result.stdout
    assert message in result.stderr
    assert "wrong" not in result.stderr
    with pytest.raises(KeyError):
        optuna.load_study(study_name="summer", storage=study_url)
