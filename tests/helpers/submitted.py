"""Submits studies with the real command, and reads their status from the service."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from raygenre.cli.studies_tables import record
from raygenre.studies.store import open_store
from raygenre.studies.study import Study
from tests.helpers.project import ROOT

NARROW = Path(__file__).with_name("narrow.yaml")


def submitted(study: str, data: Path, *, trials: int, epochs: int) -> list[str]:
    """Return the options of a search that takes only seconds."""
    size = ["--trials", str(trials), "--epochs", str(epochs), "--top-k", "1", "--scheduler", "none"]
    return ["--data", str(data), "--study", study, "--preset", "original", "--space", str(NARROW), "--promote", *size]


class Service:
    """Runs `raygenre studies` with fixed options in separate processes.

    Attributes:
        storage: storage of the studies.

    Args:
        environment: environment variables for the commands and, if the studies run on this machine, for the drivers.
    """

    def __init__(self, storage: str, environment: Mapping[str, str] | None = None) -> None:
        self.storage = storage
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}

    def change(self, environment: Mapping[str, str]) -> None:
        """Change environment variables for subsequent commands."""
        self._environment |= environment

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command without waiting for it to end."""
        command = [sys.executable, "-c", "from raygenre.cli import app; app()", "studies", *arguments]
        return subprocess.Popen(
            [*command, "--storage", self.storage],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments) as process:
            try:
                output, errors = process.communicate(timeout=300)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert not check or process.returncode == 0, output + errors
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def submit(self, study: str, data: Path, *options: str, trials: int = 2, epochs: int = 2) -> None:
        """Submit a search that takes only seconds."""
        self.call("submit", *submitted(study, data, trials=trials, epochs=epochs), *options)

    def list(self) -> dict[str, dict[str, Any]]:
        """Return the records of all studies, by name."""
        return {study.name: record(study) for study in self.studies()}

    def studies(self) -> Sequence[Study]:
        store = open_store(self.storage, self._environment.get("RAYGENRE_STUDY_URL"), "http://unused")
        try:
            return store.all()
        finally:
            store.close()

    def wait_for(
        self, study: str, is_reached: Callable[[dict[str, Any]], bool], timeout: float = 240
    ) -> dict[str, Any]:
        """Wait until a study's record fulfils a condition, and return the record."""
        deadline = time.monotonic() + timeout
        while not is_reached(current := self.list()[study]):
            ended = current["state"] in ("failed", "done", "stopped") or time.monotonic() > deadline
            assert not ended, f"{current}\n{self.call('logs', study, check=False).stdout}"
            time.sleep(0.5)
        return current
