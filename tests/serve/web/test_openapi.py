"""Valid and invalid generated requests get the responses that the OpenAPI document describes."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serve.web.openapi import FILE
from tests.helpers.memory import MAX_GROWTH, Watch

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
pytestmark = pytest.mark.slow
contract = schemathesis.openapi.from_path(FILE)


@pytest.fixture(scope="module", autouse=True)
def memory(endpoint: httpx.Client, picture: bytes, song: bytes) -> Iterator[None]:
    """Check that the requests leak no memory; the first requests fill caches and are not counted."""
    for _ in range(10):
        for file in (picture, song):
            assert endpoint.post("/v1/predict", content=file).status_code == 200
    watch = Watch("endpoint")
    yield
    assert watch.change().grown < MAX_GROWTH


@contract.parametrize()
@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_responses_conform_to_the_openapi_document(case: Any, endpoint: httpx.Client) -> None:
    case.call_and_validate(base_url=str(endpoint.base_url), checks=CHECKS)
