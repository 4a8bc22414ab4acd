"""A search that is named on the command line, and the script that begins or resumes it."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from k8s import begun, search
from k8s.check import operator, rendering
from k8s.check.__main__ import problems
from k8s.check.rendering import ROOT, Resource, name
from raygenre.data.dataset import Dataset
from tests.conftest import new_ledger
from tests.helpers.k8s.rendered import rendered

SCRIPT = ROOT / "k8s" / "begin_or_resume.sh"


def job(resources: list[Resource]) -> Resource:
    [found] = [resource for resource in resources if resource["kind"] == "RayJob"]
    return found


def test_a_search_has_its_study_and_its_trials() -> None:
    found = job(search.search("gpu", "second-try", 200, "--epochs", "60"))
    assert found["metadata"]["name"] == "search-second-try"
    assert found["spec"]["entrypoint"] == "bash /app/k8s/begin_or_resume.sh second-try 200 --epochs 60"


@pytest.mark.parametrize("overlay", rendering.names())
def test_a_search_passes_the_check(overlay: str) -> None:
    beside = [one for one in rendered(overlay) if name(one) not in ("ConfigMap search", "RayJob search")]
    assert list(problems(beside + search.search(overlay, "a" * search.LONGEST, 1), None)) == []


@pytest.mark.parametrize(
    ("overlay", "study", "trials", "message"),
    [
        ("staging", "first", 1, "there is no overlay 'staging'; known: dev, gpu, prod"),
        ("dev", "First", 1, "a study on Kubernetes is named with at most 40"),
        ("dev", "first; rm -r /results", 1, "a study on Kubernetes is named"),
        ("dev", "a" * (search.LONGEST + 1), 1, "at most 40"),
        ("dev", "first", 0, "a search has at least one trial, not 0"),
    ],
)
def test_what_cannot_be_a_search_is_refused(overlay: str, study: str, trials: int, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        search.search(overlay, study, trials)


def test_the_command_prints_a_stream_of_objects(capsys: pytest.CaptureFixture[str]) -> None:
    assert search.main(["dev", "first", "20"]) == 0
    kinds = {resource["kind"] for resource in yaml.safe_load_all(capsys.readouterr().out)}
    assert kinds == {"ConfigMap", "RayJob"}


def test_the_command_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert search.main(["dev", "first"]) == 2
    assert "usage: make k8s-search" in capsys.readouterr().err
    assert search.main(["dev", "First", "2"]) == 2
    assert "error: a study on Kubernetes" in capsys.readouterr().err


def test_a_study_has_room_in_a_name() -> None:
    assert len(f"search-{'a' * search.LONGEST}") == operator.LONGEST_NAME


@pytest.mark.parametrize(("study", "word"), [("first", "yes"), ("second", "no")])
def test_a_study_was_begun_if_its_run_file_is_there(
    study: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for there, file in (("first", "run.yaml"), ("second", "other.yaml")):
        (tmp_path / "studies" / there).mkdir(parents=True)
        (tmp_path / "studies" / there / file).touch()
    monkeypatch.setenv("RAYGENRE_STORAGE", str(tmp_path))
    assert begun.main(study) == 0
    assert capsys.readouterr().out == f"{word}\n"


def test_of_a_storage_that_cannot_be_asked_it_is_not_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAYGENRE_STORAGE", "s3://songs/searches")
    assert begun.main("first") == 1
    said = capsys.readouterr()
    assert (said.out, "cannot hold MLflow's database" in said.err) == ("", True)


def said(folder: Path, answer: str, *arguments: str, **environment: str) -> list[str]:
    """What the script runs, told by a `python` that prints its arguments and stands in for `k8s.begun` too."""
    told = folder / "python"
    told.write_text(f'#!/bin/sh\n[ "$*" = "-m k8s.begun first" ] && {answer}\nprintf "%s\\n" "$@"\n')
    told.chmod(0o755)
    settings = {"PATH": f"{folder}:{os.environ['PATH']}"} | environment
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments], env=settings, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_a_study_is_begun_with_its_options(tmp_path: Path) -> None:
    settings = {"STUDY_URL": "postgresql+psycopg2://", "GPUS_PER_TRIAL": "0.5"}
    command = said(tmp_path, "exec echo no", "first", "20", "--epochs", "60", **settings)
    assert command == shlex.split(
        "experiments/tune.py --address auto --study first --trials 20 --study-url postgresql+psycopg2:// "
        "--gpus-per-trial 0.5 --epochs 60"
    )


def test_a_study_that_exists_goes_on(tmp_path: Path) -> None:
    settings = {"CPUS_PER_TRIAL": "2", "STUDY_URL": ""}
    command = said(tmp_path, "exec echo yes", "first", "20", "--epochs", "60", **settings)
    assert command == shlex.split(
        "experiments/tune.py --resume --address auto --study first --trials 20 --cpus-per-trial 2"
    )


def test_a_storage_that_cannot_be_asked_begins_nothing(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        said(tmp_path, "exit 1", "first", "20")
    assert failed.value.stdout == ""


@pytest.mark.slow
def test_an_attempt_after_another_goes_on_with_the_study(tracks: Dataset, tmp_path: Path) -> None:
    """The first one died before its first trial, and the second is asked for one more; both are trained as begun."""
    new_ledger(tmp_path / "studies", tracks, "first", trials=1, epochs=1).close()
    environment = {
        "ADDRESS": "local",
        "RAYGENRE_STORAGE": str(tmp_path),
        "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
    }
    command = ["bash", str(SCRIPT), "first", "2", "--epochs", "9"]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=1100)
    assert done.returncode == 0, done.stdout + done.stderr
    journal = JournalStorage(JournalFileBackend(str(tmp_path / "studies" / "first" / "journal.log")))
    [study] = optuna.get_all_study_names(journal)
    trials = optuna.load_study(study_name=study, storage=journal).trials
    assert [len(trial.intermediate_values) for trial in trials] == [1, 1]
