"""Drivers of studies on a Ray cluster, started through Ray's job submission API.

A driver runs on the cluster's head node, so a study continues after the submitter's machine has disconnected. It
reserves no CPU. The package is shipped with the driver unless it is part of every node's image.
"""

import json
import logging
import os
import shlex
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

import raygenre
from raygenre.errors import RaygenreError
from raygenre.studies.local_driver import MODULE
from raygenre.studies.study import Study
from raygenre.system.redaction import masked

_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")  # these override the address of Ray's client
_HEADERS = "RAY_JOB_HEADERS"  # also read by `ray job submit`
_UPLOAD_LOGGERS = ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging")
_TIMEOUT = 10.0  # s to connect
_NO_AGENT = "No available agent"  # Ray's response while its head node is starting
_AGENT_SECONDS = 60.0
_TOKEN = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's token"


class ClusterJobsError(RaygenreError, RuntimeError):
    """A cluster does not accept a job, or cannot run it; the message explains why."""


class ClusterJobs:
    """The jobs of a Ray cluster.

    Args:
        address: address of the dashboard, such as http://HEAD:8265, or of the cluster, such as `auto`.

    Raises (all methods):
        ClusterJobsError: the cluster does not respond or rejects the token.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        for name in _UPLOAD_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        with self._errors():
            if address.startswith(("http://", "https://")):
                url = urlsplit(address)
                port = url.port or (443 if url.scheme == "https" else 80)
                socket.create_connection((url.hostname or "", port), timeout=_TIMEOUT).close()
            headers = json.loads(os.environ.get(_HEADERS) or "{}")
            with _without_variables():
                self._client = JobSubmissionClient(address, headers=headers)

    def start_driver(self, study: Study, environment: Mapping[str, str], *, ship: bool) -> str:
        """Start a driver for a queued study, and return the id of its job.

        Args:
            environment: variables to set for the driver and its workers.
            ship: whether to send the package code of this installation.
        """
        runtime_env: dict[str, object] = {"env_vars": dict(environment)}
        if ship:
            runtime_env |= {"py_modules": [str(Path(raygenre.__file__).parent)], "excludes": ["__pycache__"]}
        deadline = time.monotonic() + _AGENT_SECONDS
        with self._errors():
            while True:
                try:
                    return self._client.submit_job(
                        entrypoint=f"python -m {MODULE} {shlex.quote(study.name)} {study.attempt}",
                        submission_id=f"raygenre-{study.name}-{study.attempt}-{round(study.created_at)}",
                        runtime_env=runtime_env,
                        metadata={"study": study.name, "owner": study.owner},
                    )
                except RuntimeError as error:
                    if _NO_AGENT not in str(error) or time.monotonic() > deadline:
                        raise
                time.sleep(1)

    def failure(self, job: str) -> str:
        """Return why a job has ended, or an empty string if it has not."""
        with self._errors():
            info = self._client.get_job_info(job)
            if not JobStatus(info.status).is_terminal():
                return ""
            lines = [line for line in self._client.get_job_logs(job).splitlines() if line.strip()]
        return lines[-1] if lines else info.message or str(info.status)

    def logs(self, job: str) -> str:
        """Return the output of a job."""
        with self._errors():
            return str(self._client.get_job_logs(job))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        place = f"the Ray cluster at {masked(self._address)}"
        try:
            yield
        except AuthenticationError as error:
            reason = str(error).splitlines()[0]
            raise ClusterJobsError(f"{place} rejected the request ({reason}); {_TOKEN}") from error
        except json.JSONDecodeError as error:
            raise ClusterJobsError(f"{_HEADERS} is not JSON: {error}") from error
        except (OSError, RuntimeError, ValueError, requests.RequestException) as error:
            reason = (str(error).splitlines() or [repr(error)])[0]
            raise ClusterJobsError(
                f"{place} cannot be used: {reason}; check --address or RAY_ADDRESS, such as http://HEAD:8265"
            ) from error


@contextmanager
def _without_variables() -> Iterator[None]:
    """Remove the variables that would override an explicitly specified address."""
    removed = {name: os.environ.pop(name) for name in _VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(removed)


def wait_until_started(jobs: ClusterJobs, job: str, has_started: Callable[[], bool], sleep: Callable[[], None]) -> None:
    """Wait until a driver has sent its first report.

    Raises:
        ClusterJobsError: the driver's job ended before the first report.
    """
    while not has_started():
        if failure := jobs.failure(job):
            if has_started():
                return
            raise ClusterJobsError(f"the cluster cannot run raygenre: {failure}; install it and its packages there")
        sleep()
