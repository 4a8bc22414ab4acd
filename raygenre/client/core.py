"""The requests of both clients, as steps that each client executes in its own way.

A request is a generator. It yields a `Call` to be sent and receives the response or, if there was none, the error.
Between two attempts, it yields a `Wait`. Finally, it returns the answer.
"""

import ipaddress
import json
import platform
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from raygenre.client.answers import Answer, ModelFacts, Problem, TagAnswer
from raygenre.client.body import File, FileBody
from raygenre.client.errors import AddressError, ClientError, NoModelError, RefusedError, UnexpectedAnswerError, failure
from raygenre.client.jobs import Job
from raygenre.client.retries import BUSY, Retries, retry_after
from raygenre.system.redaction import masked

LINES = "application/x-ndjson"
TIMEOUT = 300.0  # s
_CONNECT = 10.0  # s
_POLL = 1.0  # s, the shortest time between two polls of a job
_SHOWN = 200  # maximum number of characters of an unexpected response to show

T = TypeVar("T")
AnswerType = TypeVar("AnswerType", Answer, Job, ModelFacts, TagAnswer)


@dataclass(frozen=True)
class Call:
    """A request to send.

    Attributes:
        accept: accepted media types for the response.
        streams: whether to return a successful response with its body unread, to be read line by line.
    """

    method: str
    path: str
    body: FileBody | None = None
    query: Mapping[str, int | str] = field(default_factory=dict)
    accept: str = "application/json"
    streams: bool = False

    def is_open(self, response: httpx.Response) -> bool:
        """Return whether a response is to be read later, line by line; all other responses are read immediately."""
        return self.streams and response.is_success and _media_type(response) == LINES


@dataclass(frozen=True)
class Wait:
    """A pause before the next attempt, in s."""

    seconds: float


Outcome = httpx.Response | httpx.TransportError | None
"""The outcome of a step: for a `Call`, the response or the reason why there is none; for a `Wait`, None."""
Steps = Generator[Call | Wait, Outcome, T]


class Core:
    """An endpoint's address and settings, and the steps of each request to it.

    Attributes:
        url: address, with a slash at the end.
        server: the address as shown in messages, without passwords.
        headers: headers of all requests.
        timeout: the time limits for httpx.
        trusts_environment: whether proxies from the environment are used; False if the endpoint is on this machine.

    Raises:
        AddressError: the address is unusable.
    """

    def __init__(self, url: str, *, api_key: str, timeout: float, retries: Retries) -> None:
        self.url, self.server = _parse(url), masked(url)
        agent = f"raygenre/{version('raygenre')} httpx/{httpx.__version__} Python/{platform.python_version()}"
        self.headers = {"User-Agent": agent}
        if api_key:
            if not api_key.isascii() or not api_key.isprintable():
                problem = "the API key contains characters that are not allowed in a header"
                raise AddressError(f"{problem}; is it truncated or quoted?")
            self.headers["Authorization"] = f"Bearer {api_key}"
        self.timeout = httpx.Timeout(timeout, connect=min(timeout, _CONNECT), pool=None)
        self.trusts_environment = not _is_this_machine(self.url.host)
        self._retries = retries

    def predict(self, file: File) -> Steps[Answer]:
        response = yield from self._exchange(Call("POST", "v1/predict", FileBody(file)))
        return self.read(Answer, response.content)

    def stream(self, file: File) -> Steps[httpx.Response]:
        """Return the response, which is complete unless its lines have yet to be read; see `Call.is_open`."""
        accept = f"{LINES}, application/json;q=0.5"
        return (yield from self._exchange(Call("POST", "v1/predict", FileBody(file), accept=accept, streams=True)))

    def spectrogram(self, file: File, window: int) -> Steps[bytes]:
        call = Call("POST", "v1/spectrogram", FileBody(file), {"window": window}, accept="image/png, application/json")
        response = yield from self._exchange(call)
        if _media_type(response) != "image/png":
            raise self.unexpected(response.content)
        return response.content

    def tags(self, file: File) -> Steps[TagAnswer]:
        response = yield from self._exchange(Call("POST", "v1/predict", FileBody(file), {"tags": "true"}))
        return self.read(TagAnswer, response.content)

    def create_job(self, file: File, callback: str) -> Steps[Job]:
        query = {"callback": callback} if callback else {}
        response = yield from self._exchange(Call("POST", "v1/jobs", FileBody(file), query))
        return self.read(Job, response.content)

    def job(self, job_id: str) -> Steps[Job]:
        job, _ = yield from self._job(job_id)
        return job

    def finished_job(self, job_id: str) -> Steps[Job]:
        """Poll a job until it has finished, at the interval that the endpoint requests."""
        while True:
            job, asked = yield from self._job(job_id)
            if job.is_finished:
                return job
            yield Wait(max(asked, _POLL))

    def delete_job(self, job_id: str) -> Steps[None]:
        yield from self._exchange(Call("DELETE", _job_path(job_id)))

    def model(self) -> Steps[ModelFacts]:
        response = yield from self._exchange(Call("GET", "v1/model"))
        return self.read(ModelFacts, response.content)

    def read(self, kind: type[AnswerType], content: bytes) -> AnswerType:
        """Parse the JSON of an answer.

        Raises:
            NoModelError: the answer contains tags, because the endpoint has no model for genres yet.
            UnexpectedAnswerError: the content is not an answer of this kind.
        """
        try:
            return kind.model_validate_json(content)
        except ValidationError as error:
            raise self.unexpected(content) from error

    def refusal(self, problem: Problem, *, attempts: int = 1) -> RefusedError:
        """Return the error for problem details from the endpoint."""
        tried = f" ({attempts} attempts)" if attempts > 1 else ""
        return RefusedError(f"{problem.detail}{tried}", status=problem.status, request_id=problem.request_id)

    def _job(self, job_id: str) -> Steps[tuple[Job, float]]:
        """Return a job, and the number of seconds to wait before the next poll, as the endpoint requests."""
        response = yield from self._exchange(Call("GET", _job_path(job_id)))
        return self.read(Job, response.content), retry_after(response.headers, datetime.now(UTC))

    def _exchange(self, call: Call) -> Steps[httpx.Response]:
        attempt = 0
        while True:
            attempt += 1
            outcome = yield call
            assert outcome is not None
            if isinstance(outcome, httpx.Response) and outcome.is_success:
                return outcome
            seconds = self._retries.wait(attempt, outcome)
            if seconds is None:
                if isinstance(outcome, httpx.Response):
                    refusal = self._refusal(outcome, attempt)
                    is_missing = isinstance(refusal, RefusedError) and refusal.status == 404
                    if call.method == "DELETE" and is_missing and attempt > 1:
                        return outcome  # an earlier attempt succeeded, but its response was lost
                    raise refusal
                raise failure(self.server, outcome, attempts=attempt) from outcome
            yield Wait(seconds)

    def _refusal(self, response: httpx.Response, attempts: int) -> RefusedError | UnexpectedAnswerError:
        try:
            return self.refusal(Problem.model_validate_json(response.content), attempts=attempts)
        except ValidationError:  # the response came from a proxy or a different kind of server
            status = f"{response.status_code} {response.reason_phrase}".strip()
        if response.status_code in BUSY:
            return RefusedError(f"{self.server} is busy: {status} ({attempts} attempts)", status=response.status_code)
        if response.is_redirect:
            target = masked(response.headers.get("Location", "another address"))
            return UnexpectedAnswerError(f"{self.server} redirects to {target}; use that address instead")
        return UnexpectedAnswerError(
            f"{self.server} is not a raygenre endpoint (it responded with {status}); check the address"
        )

    def unexpected(self, content: bytes) -> ClientError:
        """Return the error for an answer that is of an unknown kind, or contains tags instead of genres."""
        with suppress(ValueError):
            fields = json.loads(content)
            if isinstance(fields, dict) and {"note", "pretrained"} <= fields.keys():
                return NoModelError(
                    f"{self.server} has no genre model yet, only {fields['note']}; train one with "
                    "`raygenre tune`, or predict tags with `raygenre predict --tags`"
                )
        text = " ".join(content[:_SHOWN].decode(errors="replace").split())
        return UnexpectedAnswerError(
            f"{self.server} sent a response that this version of raygenre does not understand; check the address, and "
            f"the endpoint's version and /readyz: {text!r}"
        )


def build(http: httpx.Client | httpx.AsyncClient, call: Call) -> httpx.Request:
    """Build the HTTP request for a call."""
    headers = {"Accept": call.accept}
    if call.body:
        headers |= {"Content-Type": "application/octet-stream", "Content-Length": str(call.body.size)}
    request = http.build_request(call.method, call.path, params=dict(call.query) or None, headers=headers)
    if call.body:
        request.stream = call.body  # passed as `content`, a body is either sync or async, and has no length
    return request


def _job_path(job_id: str) -> str:
    return f"v1/jobs/{quote(job_id, safe='')}"


def _media_type(response: httpx.Response) -> str:
    return str(response.headers.get("Content-Type", "")).partition(";")[0].strip().lower()


def _parse(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url if url.endswith("/") else f"{url}/")
    except httpx.InvalidURL as error:
        raise AddressError(f"{masked(url)} is not a valid address: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment:
        raise AddressError(f"{masked(url)} is not the address of an endpoint, such as http://localhost:8000")
    return parsed


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
