"""Searches on a team's servers by users with and without permission."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna.exceptions import OptunaError
from optuna.trial import TrialState

from raygenre.data.dataset import Dataset
from raygenre.registry import versions
from raygenre.search.space.samplers import sampler
from raygenre.search.space.space import default_space
from raygenre.search.study.backend import StudyError, storage_error_text
from raygenre.system.storage import Storage
from raygenre.tracking.server import Server
from raygenre.tracking.server_errors import TrackingAddressError
from raygenre.tracking.shared_view import view_link
from raygenre.tracking.tracker import Tracker
from tests.conftest import new_ledger
from tests.helpers.driver import STUDY, Driver, call
from tests.helpers.postgres import PASSWORD
from tests.helpers.project import ROOT
from tests.servers.conftest import BUCKET, GUEST, SINGER, Team, become

pytestmark = pytest.mark.slow


class TeamDriver(Driver):
    """A driver that runs the script with the study in a database and the runs on a server."""

    def __init__(self, storage: Path, data: Path, team: Team) -> None:
        self._team = team
        options = ("--tracking-uri", team.mlflow.uri, "--study-url", team.study_url)
        super().__init__(storage, data, trials=4, epochs=5, options=options)

    def server(self) -> Server:
        return Server(self._team.mlflow.storage(self.storage))

    def _study(self) -> optuna.Study | None:
        try:
            return optuna.load_study(study_name=STUDY, storage=self._team.study_url)
        except KeyError:
            return None


@pytest.fixture
def driver(team: Team, singer: str, tmp_path: Path, tracks_folder: Path) -> Iterator[TeamDriver]:
    driver = TeamDriver(tmp_path / "results", tracks_folder, team)
    yield driver
    driver.kill()


def files_with(folder: Path, *secrets: str) -> list[Path]:
    """Return the files that contain one of the secrets."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".png"]
    return [path for path in files if any(secret.encode() in path.read_bytes() for secret in secrets)]


def test_a_search_survives_a_restart_of_mlflow(
    driver: TeamDriver, team: Team, singer: str, tracks_folder: Path
) -> None:
    driver.start()
    driver.wait_for_epochs(2)
    team.mlflow.kill()
    driver.wait_for_epochs(4)  # so that the search is still running when the server is back
    team.mlflow.start()
    code, printed = driver.wait()
    assert code == 0, printed
    driver.check_all_is_there()

    server = driver.server()
    assert f"{team.mlflow.uri}{view_link(server)}" in printed
    fetched = versions.fetch(server)
    assert fetched.name == f"raygenre/{versions.list_versions(server)[0].number}"
    stored = [file["Key"] for file in team.s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert any(key.endswith("weights.safetensors") for key in stored)
    assert not (driver.storage / "artifacts").exists()
    assert not (driver.storage / "studies" / STUDY / "journal.log").exists()

    song = next(tracks_folder.rglob("bells00000.png"))
    command = [sys.executable, "-c", "from raygenre.cli import app; app()", "predict", str(song)]
    place = ["--storage", str(driver.storage), "--tracking-uri", team.mlflow.uri]
    result = subprocess.run([*command, *place], capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert "bells00000.png" in result.stdout

    for secret in (singer, PASSWORD):
        assert secret not in printed + result.stdout + result.stderr
    assert not files_with(driver.storage, singer, PASSWORD)
    server = driver.server()
    for run in server.client.search_runs([server.experiment_id]):
        assert singer not in str(run.to_dictionary())
        assert PASSWORD not in str(run.to_dictionary())


def test_a_wrong_password_ends_a_new_search_at_once(
    team: Team, singer: str, tracks_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, SINGER[0], "an0ther-pass-word")
    started = time.monotonic()
    place = ["--storage", str(tmp_path / "results"), "--data", str(tracks_folder), "--tracking-uri", team.mlflow.uri]
    result = call(*place, "--trials", "1")
    assert result.exit_code == 2, result.output
    reason = (
        "authentication failed (401): unknown user or wrong password; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING"
    )
    assert f"error: MLflow at {team.mlflow.uri} cannot be used: {reason}" in result.stderr
    assert "trial 0" not in result.stdout
    assert "an0ther-pass-word" not in result.output
    assert time.monotonic() - started < 120


@pytest.mark.parametrize(
    ("user", "name", "message"),
    [
        (GUEST, "127.0.0.1", "permission denied (403)"),
        (SINGER, "localhost", "the server rejected the Host header (403); start it with --allowed-hosts"),
    ],
)
def test_missing_permission_raises_at_once(
    team: Team,
    singer: str,
    user: tuple[str, str],
    name: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    become(monkeypatch, *user)
    storage = Storage(tmp_path, team.mlflow.uri.replace("127.0.0.1", name))
    started = time.monotonic()
    with (
        pytest.raises(TrackingAddressError) as caught,
        closing(Tracker(Server(storage), tmp_path / "study", "403")) as tracker,
    ):
        tracker.start("refused", "search")
    assert f"MLflow at {storage.tracking_uri} cannot be used: {message}" in str(caught.value)
    assert time.monotonic() - started < 10


def test_a_wrong_password_ends_a_resumed_search(
    team: Team, singer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = team.mlflow.storage(tmp_path)
    first = Tracker(Server(storage), tmp_path / "study", "resumed")
    first.start("resumed", "search")
    assert first.flush(60)
    first.close()
    become(monkeypatch, SINGER[0], "an0ther-pass-word")
    with pytest.raises(TrackingAddressError, match="401"):
        Tracker(Server(storage), tmp_path / "study", "resumed")


def test_a_password_in_the_address_works_and_is_masked(
    team: Team, singer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name)
    right, wrong = (team.mlflow.uri.replace("//", f"//{SINGER[0]}:{secret}@") for secret in (singer, "wr0ng-one"))
    assert Server(Storage(tmp_path, right)).experiment_id
    with pytest.raises(versions.RegistryError) as caught:
        versions.fetch(Server(Storage(tmp_path, wrong)))
    assert "MLFLOW_TRACKING_PASSWORD" in str(caught.value)
    assert "wr0ng-one" not in str(caught.value)


def test_a_study_survives_a_restart_of_its_database(team: Team, tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path / "studies", tracks, "restarted", url=team.study_url)
    ledger.start_trial(sampler("random", seed=0, trials=2, past_trials=0), default_space(2))
    team.postgres.stop()
    try:
        with pytest.raises(OptunaError) as caught:
            ledger.report(0, epoch=1, loss=1.0)
    finally:
        team.postgres.start()
    assert "Connection refused" in storage_error_text(caught.value)
    for epoch in (1, 2):
        ledger.report(0, epoch=epoch, loss=1 / epoch)
    assert ledger.finish(0) == TrialState.COMPLETE
    ledger.close()


def test_a_database_error_does_not_show_the_password(team: Team, tracks: Dataset, tmp_path: Path) -> None:
    wrong = team.postgres.url("studies", password="wr0ng-one")
    with pytest.raises(StudyError, match="password authentication failed for user") as caught:
        new_ledger(tmp_path / "studies", tracks, "refused", url=wrong)
    assert "wr0ng-one" not in str(caught.value)
