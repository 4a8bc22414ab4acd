"""The command that prints a search, and the script that starts or resumes it."""

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

from k8s import search, study_exists
from k8s.check import operator, rendering
from k8s.check.__main__ import problems
from k8s.check.pods import pods
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
    others = [one for one in rendered(overlay) if name(one) not in ("ConfigMap search", "RayJob search")]
    assert list(problems(others + search.search(overlay, "a" * search.LONGEST, 1), None)) == []


@pytest.mark.parametrize("overlay", rendering.names())
def test_each_search_has_its_own_settings(overlay: str) -> None:
    first, second = (search.search(overlay, study, 8) for study in ("first", "second"))
    assert {name(one) for one in first} == {"ConfigMap search-first", "RayJob search-first"}
    assert {name(one) for one in first}.isdisjoint(name(one) for one in second)
    named = [
        source["configMapRef"]["name"]
        for pod in pods(second)
        for container in pod.containers
        for source in container.get("envFrom", [])
        if "configMapRef" in source
    ]
    assert len(named) == 3  # the head, a worker, and its init container
    assert set(named) == {"search-second"}


@pytest.mark.parametrize(
    ("overlay", "study", "trials", "message"),
    [
        ("staging", "first", 1, "there is no overlay 'staging'; overlays: dev, gpu, prod"),
        ("dev", "First", 1, "the study name 'First' does not fit a Kubernetes job: use at most 40"),
        ("dev", "first; rm -r /results", 1, "does not fit a Kubernetes job"),
        ("dev", "a" * (search.LONGEST + 1), 1, "at most 40"),
        ("dev", "first", 0, "TRIALS is 0; a search needs at least one trial"),
    ],
)
def test_an_invalid_search_is_rejected(overlay: str, study: str, trials: int, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        search.search(overlay, study, trials)


def test_the_command_prints_a_stream_of_objects(capsys: pytest.CaptureFixture[str]) -> None:
    assert search.main(["dev", "first", "20"]) == 0
    kinds = {resource["kind"] for resource in yaml.safe_load_all(capsys.readouterr().out)}
    assert kinds == {"ConfigMap", "RayJob"}


def test_the_command_prints_its_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert search.main(["dev", "first"]) == 2
    assert "usage: make k8s-search" in capsys.readouterr().err
    assert search.main(["dev", "First", "2"]) == 2
    assert "error: the study name 'First'" in capsys.readouterr().err


def test_the_longest_study_fits_the_name() -> None:
    assert len(f"search-{'a' * search.LONGEST}") == operator.LONGEST_NAME


@pytest.mark.parametrize(("study", "word"), [("first", "yes"), ("second", "no")])
def test_a_study_exists_if_its_run_file_does(
    study: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for there, file in (("first", "run.yaml"), ("second", "other.yaml")):
        (tmp_path / "studies" / there).mkdir(parents=True)
        (tmp_path / "studies" / there / file).touch()
    monkeypatch.setenv("RAYGENRE_STORAGE", str(tmp_path))
    assert study_exists.main(study) == 0
    assert capsys.readouterr().out == f"{word}\n"


def test_an_unreadable_storage_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RAYGENRE_STORAGE", "s3://songs/searches")
    assert study_exists.main("first") == 1
    said = capsys.readouterr()
    assert (said.out, "cannot hold MLflow's database" in said.err) == ("", True)


def said(folder: Path, answer: str, *arguments: str, **environment: str) -> list[str]:
    """Return the command that the script runs.

    `python` is replaced with a script that runs `answer` in place of `k8s.study_exists`, and otherwise prints its
    arguments.
    """
    told = folder / "python"
    told.write_text(f'#!/bin/sh\n[ "$*" = "-m k8s.study_exists first" ] && {answer}\nprintf "%s\\n" "$@"\n')
    told.chmod(0o755)
    settings = {"PATH": f"{folder}:{os.environ['PATH']}"} | environment
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments], env=settings, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_a_new_study_gets_its_options(tmp_path: Path) -> None:
    settings = {"STUDY_URL": "postgresql+psycopg2://", "GPUS_PER_TRIAL": "0.5"}
    command = said(tmp_path, "exec echo no", "first", "20", "--epochs", "60", **settings)
    assert command == shlex.split(
        "experiments/tune.py --address auto --study first --trials 20 --study-url postgresql+psycopg2:// "
        "--gpus-per-trial 0.5 --epochs 60"
    )


def test_an_existing_study_is_resumed(tmp_path: Path) -> None:
    settings = {"CPUS_PER_TRIAL": "2", "STUDY_URL": ""}
    command = said(tmp_path, "exec echo yes", "first", "20", "--epochs", "60", **settings)
    assert command == shlex.split(
        "experiments/tune.py --resume --address auto --study first --trials 20 --cpus-per-trial 2"
    )


def test_an_unreadable_storage_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        said(tmp_path, "exit 1", "first", "20")
    assert failed.value.stdout == ""


@pytest.mark.slow
def test_a_second_attempt_resumes_the_study(tracks: Dataset, tmp_path: Path) -> None:
    """The first attempt ended before its first trial; the second requests one more trial. Both trials are trained."""
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
