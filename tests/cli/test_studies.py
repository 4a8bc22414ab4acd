"""Options and early errors of `raygenre studies`, and a local study from start to removal."""

import json
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from typer.main import get_command
from typer.testing import CliRunner

from raygenre.cli import app
from raygenre.cli.console import out
from raygenre.cli.studies_tables import details_text, record, studies_table
from raygenre.search.options import Options
from raygenre.studies import local_driver, removal
from raygenre.studies.progress import LedgerReader
from raygenre.studies.request import Request
from raygenre.studies.store import FILE, StudyStore, open_store
from raygenre.studies.study import Needs, Progress, Study
from raygenre.system.storage import Storage, resolve
from tests.helpers.submitted import Service


def call(*arguments: str, storage: Path | str) -> Any:
    return CliRunner().invoke(app, ["studies", *arguments, "--storage", str(storage)])


def test_submit_takes_every_option_of_tune() -> None:
    commands: Any = get_command(app)  # from Typer's own copy of Click
    both = {
        "tune": commands.commands["tune"],
        "submit": commands.commands["studies"].commands["submit"],
    }
    options = {
        name: {option for parameter in command.params for option in parameter.opts} for name, command in both.items()
    }
    assert options["tune"] - options["submit"] == {"--resume"}
    assert options["submit"] - options["tune"] == {"--priority", "--user", "--image-code", "--env"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["submit", "--data", "/nowhere"], "/nowhere is not a folder"),
        (["submit", "--study", "a/b"], "invalid study name"),
        (["submit", "--trials", "0"], "trials must be at least 1"),
        (["submit", "--time-budget", "soon"], "'soon' is not a duration"),
        (["submit", "--address", "http://127.0.0.1:1"], "cannot be used: [Errno 111] Connection refused; check --addr"),
        (["submit", "--study-url", "postgresql+psycopg2://a:b@127.0.0.1:1/x"], "cannot be used: "),
        (["submit", "--study-url", "secret"], "--study-url is not the URL of a database"),
        (["show", "spring"], "there is no study spring; submitted studies: none"),
        (["stop", "spring"], "there is no study spring"),
        (["resume", "spring"], "there is no study spring"),
        (["set", "spring", "--priority", "1"], "there is no study spring"),
        (["set", "--priority", "1"], "specify the study whose settings you want to change"),
        (["set"], "nothing to change"),
        (["remove", "spring"], "there is no study spring"),
        (["logs", "spring"], "there is no study spring"),
    ],
)
def test_an_error_leaves_nothing_behind(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = call(*arguments, storage=tmp_path / "results")
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert not (tmp_path / "results").exists()


@pytest.fixture
def store(tmp_path: Path) -> StudyStore:
    """A study store that contains one running study."""
    store = open_store(str(tmp_path), None)
    options = Options(study="spring", trials=8, tracking_uri="http://ann:s3cret@host")
    request = Request.of(options, with_files=False, ship=True, variables=())
    wishes = {"priority": 2, "max_concurrent": 3}
    store.create("spring", owner="ann", request=request.to_json(), storage=str(tmp_path), address="", wishes=wishes)
    store.start("spring", 1, job="process 1", scope="here")
    store.grant({"spring": 2})
    progress = Progress(3, 2, 1, 8, 0.25, "loss", ("trial 4: diverged",))
    needs = Needs("trials", 3, 2, 1.0, 0.5)
    facts = {"bytes": 2_500_000, "seconds_left": 5400.0}
    store.report("spring", 1, needs=needs, seconds=3600, progress=progress, facts=facts)
    return store


def test_a_study_is_shown_as_table_text_and_json(store: StudyStore) -> None:
    study = store.get("spring")
    with out.capture() as captured:
        out.print(studies_table([study]))
    text = " ".join(captured.get().split())
    for cell in ("spring", "ann", "running", "3/2/1 of 8", "0.25", "2/2", "2.0", "1.0", "90 min", "2.5 MB"):
        assert cell in text
    assert record(study)["trials"] == {"completed": 3, "pruned": 2, "failed": 1, "total": 8}
    assert record(study)["gpu_hours"] == 1
    shown = details_text(study, "raygenre ui")
    assert "trial 4: diverged" in shown
    assert "2 in use, 2 granted of at most 3" in shown
    assert "s3cret" not in shown


def test_wishes_are_recorded(store: StudyStore, tmp_path: Path) -> None:
    changes = ["--max-concurrent", "1", "--priority", "5", "--time-budget", "90m", "--trials", "20"]
    assert call("set", "spring", *changes, storage=tmp_path).exit_code == 0
    study = store.get("spring")
    assert (study.max_concurrent, study.priority, study.time_budget, study.trials) == (1, 5, 5400, 20)
    assert "can only increase it" in call("set", "spring", "--trials", "3", storage=tmp_path).stderr
    assert call("set", "spring", "--max-concurrent", "0", storage=tmp_path).exit_code == 0
    assert store.get("spring").max_concurrent is None
    assert call("set", "--user-limit", "4", storage=tmp_path).exit_code == 0
    assert call("set", "--user-limit", "2", "--user", "ann", storage=tmp_path).exit_code == 0
    assert store.limits() == {"": 4, "ann": 2}
    assert call("set", "--user", "ann", "--no-user-limit", storage=tmp_path).exit_code == 0
    assert store.limits() == {"": 4}


def test_a_running_study_is_neither_resumed_nor_removed(store: StudyStore, tmp_path: Path) -> None:
    for command in (["resume", "spring"], ["remove", "spring", "--yes"]):
        result = call(*command, storage=tmp_path)
        assert result.exit_code == 2
        assert "the study spring is running; stop it first with `raygenre studies stop spring`" in result.stderr
    assert "spring is stopping" in call("stop", "spring", storage=tmp_path).output
    store.end("spring", 1, "stopped")
    declined = CliRunner().invoke(app, ["studies", "remove", "spring", "--storage", str(tmp_path)], input="n\n")
    assert declined.exit_code == 1
    assert call("remove", "spring", "--yes", storage=tmp_path).exit_code == 0
    assert store.all() == []


def test_a_failed_resume_leaves_the_trials_unchanged(store: StudyStore, tmp_path: Path) -> None:
    assert "stop it first" in call("resume", "spring", "--trials", "20", storage=tmp_path).stderr
    assert store.get("spring").trials is None


def test_more_trials_after_the_trials_wait_for_a_resume(store: StudyStore, tmp_path: Path) -> None:
    text = "take effect only if you resume it with `raygenre studies resume spring` once it is done"
    assert text not in call("set", "spring", "--time-budget", "1h", storage=tmp_path).output
    needs = Needs("repeats", 3, 2, 1.0, 0.5)
    store.report("spring", 1, needs=needs, seconds=1, progress=None, facts={})
    assert text in call("set", "spring", "--time-budget", "2h", storage=tmp_path).output
    assert text not in call("set", "spring", "--priority", "1", storage=tmp_path).output


def test_a_study_keeps_its_storage_and_tracking_server(
    store: StudyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Storage] = []

    def start_driver(study: Study, storage: Storage, environment: dict[str, str]) -> str:
        used.append(storage)
        return "process 2"

    monkeypatch.setattr(local_driver, "start_driver", start_driver)
    monkeypatch.setattr(removal, "delete_study", lambda server, *_, **__: used.append(server.storage))
    store.end("spring", 1, "stopped")
    database = ["--study-url", f"sqlite:///{tmp_path / FILE}"]
    for command in (["resume", "spring"], ["remove", "spring", "--yes", "--runs"]):
        result = call(*command, *database, storage=tmp_path / "elsewhere")
        assert result.exit_code == 0, result.output
        store.end("spring", 2, "stopped")
    assert [(storage.root, storage.tracking_uri) for storage in used] == [(tmp_path, "http://ann:s3cret@host")] * 2


@pytest.mark.slow
def test_a_study_runs_in_the_background(tmp_path: Path, tracks_folder: Path) -> None:
    """The study is stopped after the epoch in progress, resumed with more trials, and removed; no trial is repeated."""
    service = Service(str(tmp_path / "results"))
    epochs = 12  # enough to stop the study before it ends by itself, even on a busy machine
    service.submit("spring", tracks_folder, "--max-concurrent", "1", epochs=epochs)
    service.wait_for("spring", lambda study: study["places"]["running"] == 1)
    service.call("stop", "spring")
    service.wait_for("spring", lambda study: study["state"] == "stopped")
    service.call("set", "spring", "--trials", "3")
    done = service.wait_for("spring", lambda study: study["state"] == "done")
    assert done["trials"] == {"completed": 3, "pruned": 0, "failed": 0, "total": 3}
    assert done["cpu_hours"] > 0
    assert "Next:" in service.call("logs", "spring").stdout
    [listed] = map(json.loads, service.call("list", "--json").stdout.splitlines())
    assert listed.items() >= {"name": "spring", "state": "done", "best": done["best"]}.items()
    shown = json.loads(service.call("show", "spring", "--json").stdout)
    assert (shown["start"], shown["settings"]["trials"]) == (2, 3)
    storage = resolve(service.storage)
    study = LedgerReader(storage.studies / "spring", None)._load()
    assert study
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    assert [sorted(trial.intermediate_values) for trial in study.trials] == [[*range(1, epochs + 1)]] * 3
    service.call("remove", "spring", "--yes")
    assert service.list() == {}
    assert storage.studies.names() == []
    assert storage.has_runs
