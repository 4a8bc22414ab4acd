"""A search whose study is kept in an S3 store and in PostgreSQL: no machine of it has anything that must last."""

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
    """The script with everything elsewhere; each start is on a machine that is new."""

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
    """The URL of a storage, with the environment that can use it."""
    become(monkeypatch, *SINGER)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine"))
    return url_of(team.s3.meta.endpoint_url, f"{BUCKET}/searches")


@pytest.fixture(scope="module")
def database(team: Team) -> str:
    """Where these tests keep studies, and have their locks."""
    return team.postgres.create("kept_elsewhere")


@pytest.fixture
def driver(store: str, team: Team, database: str, tmp_path: Path, tracks_folder: Path) -> Iterator[StoreDriver]:
    driver = StoreDriver(store, tmp_path / "machine", tracks_folder, team, database)
    yield driver
    driver.kill()


def keys(team: Team) -> list[str]:
    return [file["Key"] for file in team.s3.list_objects_v2(Bucket=BUCKET, Prefix="searches/").get("Contents", [])]


def test_a_search_goes_on_when_all_its_machines_are_gone(driver: StoreDriver, team: Team, store: str) -> None:
    driver.start()
    driver.wait_for_epochs(7)  # two trials have ended, the third has not
    driver.kill()
    states = [key for key in keys(team) if key.endswith("state.json")]
    assert states, keys(team)

    driver.start(resume=True)
    code, printed = driver.wait()
    assert code == 0, printed
    driver.check_all_is_there()
    assert versions.fetch(Storage(driver.machine, team.mlflow.uri, store)).classifier.genres

    study = "searches/studies/autumn"
    tags = [run.data.tags["checkpoint"] for run in driver.trial_runs()]
    [kept] = [tag for tag in tags if tag.startswith("s3://")]  # top-k is 1
    number = kept.partition("/trials/")[2][:4]
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
def test_what_a_search_in_a_store_needs_is_said_at_its_start(
    store: str, team: Team, database: str, tracks_folder: Path, path: str, options: list[str], message: str
) -> None:
    url = url_of(team.s3.meta.endpoint_url, path)
    given = [database if option == "DATABASE" else option for option in options]
    place = ["--data", str(tracks_folder), "--tracking-uri", team.mlflow.uri, "--trials", "1"]
    result = call("--storage", url, *place, *given)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not [key for key in keys(team) if "/other" in key]


def test_a_store_that_is_away_is_an_error(store: str) -> None:
    with pytest.raises((OSError, LocationError)):
        Location(url_of(f"http://127.0.0.1:{free_port()}", f"{BUCKET}/searches")).check_access()


def test_a_database_lets_in_one_driver_at_a_time(database: str) -> None:
    with study_lock(database, "winter"), study_lock(database, "spring"):
        with (
            pytest.raises(StudyBusyError, match="another driver is running the study winter"),
            study_lock(database, "winter", timeout=0),
        ):
            pass
        waited: list[str] = []

        def wait() -> None:
            with study_lock(database, "winter", timeout=30):
                waited.append("in")

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not waited
    waiting.join()
    assert waited == ["in"]


def test_a_driver_whose_connection_is_gone_keeps_nobody_out(database: str) -> None:
    gone = study_lock(database, "winter")
    gone.__enter__()
    with create_engine(database).connect() as other:
        other.execute(text("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'"))
    with study_lock(database, "winter", timeout=5):
        gone.__exit__(None, None, None)
