"""The Kubernetes commands, in order, run by a real kubectl against a fake API server."""

import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from k8s.check import references, rendering
from k8s.check.rendering import ROOT, Resource, name
from k8s.search import search
from serve.settings import Settings
from tests.helpers.k8s.pages import PAGES, README, TEXT, page, steps
from tests.helpers.k8s.rendered import rendered, whole
from tests.helpers.k8s.stand_in import asked

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
PROSE = " ".join(f"{TEXT} {OPERATIONS}".split())
APPLY = "kubectl apply --server-side -k "


def key(resource: Resource) -> tuple[str, str]:
    return resource["kind"], resource["metadata"]["name"]


@pytest.mark.integration
@pytest.mark.parametrize("overlay", rendering.names())
def test_each_step_finds_what_earlier_steps_created(overlay: str, tmp_path: Path) -> None:
    there: dict[tuple[str, str], Resource] = {}
    install = steps(README, APPLY)
    assert len(install) == 4
    with asked(tmp_path) as server:
        for step in [*install, *steps(page("searches"), APPLY)]:
            before = len(server.applied)
            subprocess.run(shlex.split(step.replace("overlays/dev", f"overlays/{overlay}")), cwd=ROOT, check=True)
            new = {key(given): given for _, _, given in server.applied[before:]}
            assert new, f"{step} applies nothing"
            there |= new
            assert list(references.problems(list(there.values()))) == [], step
    by_another_command = {("ConfigMap", "search"), ("RayJob", "search")}
    assert there.keys() == {key(one) for one in rendered(overlay)} - by_another_command


@pytest.mark.integration
def test_a_change_starts_with_the_migration(tmp_path: Path) -> None:
    with asked(tmp_path) as server:
        subprocess.run(shlex.split(steps(page("upgrades"), APPLY)[0]), cwd=ROOT, check=True)
    assert [name(given) for _, _, given in server.applied] == ["Job mlflow-migration"]


def test_waits_do_not_end_before_objects_exist() -> None:
    waits = [wait for path in PAGES for wait in steps(path, "kubectl -n raygenre wait ") if "--for=delete" not in wait]
    made = {key(one) for one in [*rendered("dev"), *search("dev", "first", 8)]} | {("Job", "search-first")}
    assert len(waits) == 7
    for wait in waits:
        kind, _, called = shlex.split(wait)[-1].partition("/")
        assert (kind, called) in {(one.lower(), another) for one, another in made}, wait


def test_times_in_the_readme_match_the_manifests() -> None:
    prod = whole("prod")
    [service] = [one["spec"] for one in prod if one["kind"] == "RayService"]
    [job] = [one["spec"] for one in rendered("dev") if one["kind"] == "RayJob"]
    [worker] = service["rayClusterConfig"]["workerGroupSpecs"]
    sleep = worker["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    options = service["upgradeStrategy"]["clusterUpgradeOptions"]
    stays = [rule["condition"]["ttlSeconds"] for rule in job["deletionStrategy"]["deletionRules"]]
    assert f"answering its requests for {sleep} s" in PROSE
    assert f"replicas poll the registry every {Settings.model_fields['poll_seconds'].default} s." in PROSE
    assert (options["stepSizePercent"], f"in steps of 10 % every {options['intervalSeconds']} s" in PROSE) == (
        10,
        True,
    )
    assert (service["rayClusterDeletionDelaySeconds"], "four minutes later" in PROSE) == (240, True)
    assert (stays[:2], "deleted after two minutes, or after an hour if the search failed" in PROSE) == (
        [120, 3600],
        True,
    )
    attempts, start_s, end_s = job["backoffLimit"] + 1, job["preRunningDeadlineSeconds"], job["activeDeadlineSeconds"]
    assert f"its nodes have {start_s // 60} minutes to start, and the attempt ends {end_s // 3600} hours after" in PROSE
    assert f"may therefore wait for nodes for {attempts * start_s // 3600} hours" in PROSE
    assert f"ends after {attempts * end_s // 86400} days at the latest" in PROSE
    assert (job["backoffLimit"], "retries the job three times" in PROSE, "four attempts failed" in PROSE) == (
        3,
        True,
        True,
    )


def test_databases_on_one_volume_are_backed_up_and_restored(tmp_path: Path) -> None:
    """Commands for MLflow's container are run with local folders instead of the volume and /tmp."""
    places = {"/var/lib/mlflow": tmp_path / "volume", "/tmp": tmp_path / "pod"}
    keep, take_back = re.findall(r"python -c '(import sqlite3.*)'", page("backup").read_text())
    for place in places.values():
        place.mkdir()
    for database in ("mlflow", "auth"):
        assert row(places["/var/lib/mlflow"] / f"{database}.db", "CREATE TABLE runs AS SELECT 'kept' AS name") is None
    for code, after in ((keep, "DELETE FROM runs"), (take_back, "SELECT name FROM runs")):
        moved = re.sub("|".join(places), lambda found: str(places[found[0]]), code)
        subprocess.run([sys.executable, "-c", moved], check=True)
        said = [row(places["/var/lib/mlflow"] / f"{database}.db", after) for database in ("mlflow", "auth")]
    assert said == [("kept",), ("kept",)]


def row(database: Path, statement: str) -> tuple[str, ...] | None:
    with closing(sqlite3.connect(database)) as connection, connection:
        found: tuple[str, ...] | None = connection.execute(statement).fetchone()
        return found
