"""Two people's studies on three nodes with tokens, PostgreSQL and an S3 store, while parts of it are killed."""

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from raygenre.search.study.create_or_load import ID
from raygenre.system.storage import Storage
from raygenre.tracking.mlflow_writer import KEY
from raygenre.tracking.server import Server
from tests.helpers.mlflow_server import MlflowServer
from tests.helpers.postgres import Postgres
from tests.helpers.processes import titled
from tests.helpers.ray_nodes import RayNodes, ray_nodes
from tests.helpers.submitted import Service
from tests.servers.conftest import BUCKET, KEYS
from tests.servers.test_url import url_of

pytestmark = pytest.mark.slow

STUDIES = {"spring": 3, "autumn": 2, "winter": 2}
EPOCHS = 5


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


def submit(service: Service, study: str, data: Path, owner: str) -> None:
    passed = [option for name in KEYS for option in ("--env", name)]
    service.submit(study, data, "--user", owner, *passed, trials=STUDIES[study], epochs=EPOCHS)


def test_studies_survive_their_surroundings(
    service: Service, study_url: str, mlflow_server: MlflowServer, nodes: RayNodes, tracks_folder: Path
) -> None:
    owners = {"spring": "ann", "autumn": "bob", "winter": "bob"}
    with ThreadPoolExecutor() as pool:  # so that none is done before the last one has started
        list(pool.map(lambda study: submit(service, study, tracks_folder, owners[study]), STUDIES))
    for study in STUDIES:
        service.wait_for(study, lambda record: record["places"]["running"] > 0)
    granted = [record["places"]["granted"] for record in service.list().values()]
    assert granted == [1, 1, 1]
    nodes.kill("second")
    [arbiter] = titled("ray::Arbiter")
    os.kill(arbiter, signal.SIGKILL)
    service.call("stop", "spring")
    nodes.add("fourth", cpus=1)
    service.call("set", "autumn", "--max-concurrent", "1")
    service.wait_for("spring", lambda record: record["state"] == "stopped")
    service.call("resume", "spring")
    for study, trials in STUDIES.items():
        record = service.wait_for(study, lambda record: record["state"] == "done", timeout=600)
        assert record["trials"] == {"completed": trials, "pruned": 0, "failed": 0, "total": trials}
        assert record["places"]["running"] == 0
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
