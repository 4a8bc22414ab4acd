"""Drivers of studies on this machine: processes that continue when the terminal is closed."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from raygenre.errors import file_errors
from raygenre.studies.shares import Node
from raygenre.studies.study import Study
from raygenre.system.hardware import query_gpus
from raygenre.system.storage import Storage

MODULE = "raygenre.cli.studies_driver"
"""The driver's program; its arguments are the study's name and the number of this start."""


def scope() -> str:
    """Return the name of this machine in the database."""
    return f"machine {socket.gethostname()}"


def process_name() -> str:
    """Return the name of this process in the database."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def nodes() -> list[Node]:
    """Return the CPUs and GPUs of this machine, as Ray counts them."""
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
    number = len(query_gpus("name")) if gpus is None else len([gpu for gpu in gpus.split(",") if gpu.strip()])
    return [Node(float(os.cpu_count() or 1), float(number))]


def log_file(storage: Storage, name: str) -> Path:
    """Return the file that contains the output of a study's drivers."""
    return storage.root / "logs" / f"{name}.log"


def submitted_files(storage: Storage, name: str) -> Path:
    """Return the folder for the submitted files if the driver does not run on the submitter's machine."""
    return storage.root / "submitted" / name


def start_driver(study: Study, storage: Storage, environment: dict[str, str]) -> str:
    """Start a driver for a queued study, and return the name of its process in the database.

    Args:
        environment: environment variables to set for the driver.

    Raises:
        FileAccessError: the log cannot be written.
    """
    path = log_file(storage, study.name)
    with file_errors("the log of the study cannot be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", MODULE, study.name, str(study.attempt)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
                start_new_session=True,  # so that Ctrl-C or closing the terminal does not stop it
            )
    return f"process {process.pid} on {socket.gethostname()}"
