"""Searches with studies in S3 and PostgreSQL, so no machine stores data that must be kept."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import optuna
import pytest
from sqlalchemy import create_engine, text

from raygenre.registry import versions
from raygenre.search.study.backend import StudyBusyError
from raygenre.search.study.database_lock import study_lock
from raygenre.system.location import Location, LocationError
from raygenre.system.storage import Storage
from raygenre.tracking.server import Server
from tests.helpers.driver import STUDY, Driver, call
from tests.helpers.mlflow_server import free_port
from tests.helpers.postgres import PASSWORD
from tests.servers.conftest import BUCKET, KEYS, SINGER, Team, become

pytestmark = pytest.mark.slow


class StoreDriver(Driver):
    """A driver that runs the script with the study at a URL; each start simulates a new machine."""

    def __init__(self, url: str, machine: Path, data: Path, team: Team, database: str) -> None:
        self.url, self.machine, self._team, self._database = url, machine, team, database
        options = ("--tracking-uri", team.mlflow.uri, "--study-url", database, "--storage", url)
        super().__init__(machine / "unused", data, trials=3, epochs=3, options=options)

    def start(self, *, resume: bool = False) -> None:
        shutil.rmtree(self.machine, ignore_errors=True)
        if resume:
            self._place += ["--study", STUDY]
        super().start(resume=resume)

    def server(self) -> Server:
        return Server(Storage(self.machine, self._team.mlflow.uri, self.url))

    def _study(self) -> optuna.Study | None:
        try:
            return optuna.load_study(study_name=STUDY, storage=self._database)
        except KeyError:
            return None


def url_of(endpoint: str, path: str) -> str:
    return f"s3://{path}?scheme=http&endpoint_override={quote(endpoint.removeprefix('http://'), safe='')}"


@pytest.fixture
def store(team: Team, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Return a storage URL, and set the environment variables that it needs."""
    become(monkeypatch, *SINGER)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine"))
    return url_of(team.s3.meta.endpoint_url, f"{BUCKET}/searches")


@pytest.fixture(scope="module")
def database(team: Team) -> str:
    """Return the URL of the database for studies and their locks."""
    return team.postgres.create("url_studies")


@pytest.fixture
def driver(store: str, team: Team, database: str, tmp_path: Path, tracks_folder: Path) -> Iterator[StoreDriver]:
    driver = StoreDriver(store, tmp_path / "machine", tracks_folder, team, database)
    yield driver
    driver.kill()


def keys(team: Team) -> list[str]:
    return [file["Key"] for file in team.s3.list_objects_v2(Bucket=BUCKET, Prefix="searches/").get("Contents", [])]


def test_a_search_resumes_on_a_new_machine(driver: StoreDriver, team: Team, store: str) -> None:
    driver.start()
    driver.wait_for_epochs(7)  # two trials have finished, and the third is running
    driver.kill()
    states = [key for key in keys(team) if key.endswith("state.json")]
    assert states, keys(team)

    driver.start(resume=True)
    code, printed = driver.wait()
    assert code == 0, printed
    driver.check_all_is_there()
    assert versions.fetch(Server(Storage(driver.machine, team.mlflow.uri, store))).classifier.genres

    study = "searches/studies/autumn"
    tags = [run.data.tags["checkpoint"] for run in driver.trial_runs()]
    [checkpoint] = [tag for tag in tags if tag.startswith("s3://")]  # top-k is 1
    number = checkpoint.partition("/trials/")[2][:4]
    assert f"{study}/run.yaml" in keys(team)
    left = {key for key in keys(team) if key.startswith(f"{study}/trials/") and not key.endswith("/")}
    assert left == {f"{study}/trials/{number}/epoch-0003/state.{kind}" for kind in ("json", "safetensors")}
    assert PASSWORD not in printed
    for key in keys(team):
        assert PASSWORD.encode() not in team.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("no-such-bucket/searches", ["--study-url", "DATABASE"], "the bucket no-such-bucket of"),
        (f"{BUCKET}/other", ["--study-url", "sqlite:///studies.db"], "needs PostgreSQL for its trials and its lock"),
        (f"{BUCKET}/other", [], "needs PostgreSQL for its trials and its lock"),
        (f"{BUCKET}/other", ["--resume"], "choose a study with --study"),
    ],
)
def test_missing_parts_of_a_url_storage_are_reported_at_once(
    store: str, team: Team, database: str, tracks_folder: Path, path: str, options: list[str], message: str
) -> None:
    url = url_of(team.s3.meta.endpoint_url, path)
    arguments = [database if option == "DATABASE" else option for option in options]
    place = ["--data", str(tracks_folder), "--tracking-uri", team.mlflow.uri, "--trials", "1"]
    result = call("--storage", url, *place, *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not [key for key in keys(team) if "/other" in key]


def test_an_unreachable_store_raises(store: str) -> None:
    with pytest.raises((OSError, LocationError)):
        Location(url_of(f"http://127.0.0.1:{free_port()}", f"{BUCKET}/searches")).check_access()


def test_a_database_lock_admits_one_driver_at_a_time(database: str) -> None:
    with study_lock(database, "winter"), study_lock(database, "spring"):
        with (
            pytest.raises(StudyBusyError, match="another driver is running the study winter"),
            study_lock(database, "winter", timeout=0),
        ):
            pass
        acquired: list[str] = []

        def wait() -> None:
            with study_lock(database, "winter", timeout=30):
                acquired.append("lock")

        thread = threading.Thread(target=wait)
        thread.start()
        assert not acquired
    thread.join()
    assert acquired == ["lock"]


def test_a_lost_connection_releases_the_lock(database: str) -> None:
    lost = study_lock(database, "winter")
    lost.__enter__()
    with create_engine(database).connect() as connection:
        connection.execute(text("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'"))
    with study_lock(database, "winter", timeout=5):
        lost.__exit__(None, None, None)
