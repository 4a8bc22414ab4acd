"""A search that is named on the command line, and the script that begins or resumes it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from k8s import search
from k8s.check import operator, rendering
from k8s.check.__main__ import problems
from k8s.check.rendering import ROOT, Resource

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
    beside = rendering.parse(rendering.kubectl("kustomize", str(rendering.OVERLAYS / overlay)))
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


def said(folder: Path, *arguments: str, **environment: str) -> list[str]:
    """What the script runs, told by a `python` that prints its arguments."""
    told = folder / "python"
    told.write_text(
        f'#!/bin/sh\n[ "$2" = k8s.begun ] && exec {shlex.quote(sys.executable)} "$@"\nprintf "%s\\n" "$@"\n'
    )
    told.chmod(0o755)
    settings = {"PATH": f"{folder}:{os.environ['PATH']}", "RAYGENRE_STORAGE": str(folder)} | environment
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments], env=settings, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_a_study_is_begun_with_its_options(tmp_path: Path) -> None:
    command = said(tmp_path, "first", "20", "--epochs", "60", STUDY_URL="postgresql+psycopg2://", GPUS_PER_TRIAL="0.5")
    assert command == shlex.split(
        "experiments/tune.py --address auto --study first --trials 20 --study-url postgresql+psycopg2:// "
        "--gpus-per-trial 0.5 --epochs 60"
    )


def test_a_study_that_exists_goes_on(tmp_path: Path) -> None:
    (tmp_path / "studies" / "first").mkdir(parents=True)
    (tmp_path / "studies" / "first" / "run.yaml").touch()
    command = said(tmp_path, "first", "20", "--epochs", "60", CPUS_PER_TRIAL="2", STUDY_URL="")
    assert command == shlex.split(
        "experiments/tune.py --resume --address auto --study first --trials 20 --cpus-per-trial 2"
    )


def test_a_storage_that_cannot_be_asked_begins_nothing(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        said(tmp_path, "first", "20", RAYGENRE_STORAGE="s3://songs/searches")
    assert "no place for MLflow's database" in failed.value.stderr
    assert failed.value.stdout == ""


@pytest.mark.slow
def test_an_attempt_after_another_goes_on_with_the_study(tracks_folder: Path, tmp_path: Path) -> None:
    environment = {
        "ADDRESS": "local",
        "RAYGENRE_STORAGE": str(tmp_path),
        "RAYGENRE_DATA": str(tracks_folder),
        "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
    }
    options = shlex.split("--epochs 1 --top-k 1 --batch-size 8 --scheduler none")
    for trials in ("1", "2"):
        command = ["bash", str(SCRIPT), "first", trials, *options]
        done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=1100)
        assert done.returncode == 0, done.stdout + done.stderr
    journal = JournalStorage(JournalFileBackend(str(tmp_path / "studies" / "first" / "journal.log")))
    [study] = optuna.get_all_study_names(journal)
    assert len(optuna.load_study(study_name=study, storage=journal).trials) == 2
