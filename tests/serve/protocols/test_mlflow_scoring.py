"""MLflow's own scoring client gets the pyfunc's predictions from the endpoint."""

import json
from base64 import b64encode, encodebytes
from importlib.metadata import version
from typing import Any

import httpx
import mlflow
import pandas as pd
import pytest
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

from raygenre.system.storage import Storage
from serve.admission.limits import Limits, LimitSettings
from serve.errors import RefusalError
from serve.protocols.body import check_size
from serve.protocols.mlflow_scoring import CONTENT_TYPE, _parse
from tests.helpers.serving import PORT

LIMITS = Limits.of(LimitSettings(most_files=2))
A, B = "AAAA", "AAAB"


def test_mlflows_client_gets_the_pyfuncs_predictions(
    endpoint: httpx.Client, storage: Storage, picture: bytes, song: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", storage.tracking_uri)
    expected = mlflow.pyfunc.load_model("models:/raygenre@champion").predict(pd.DataFrame({"file": [song, picture]}))
    client = ScoringServerClient("127.0.0.1", PORT)
    client.wait_server_ready()
    assert client.get_version() == version("mlflow")
    table = pd.DataFrame({"file": [encodebytes(file).decode() for file in (song, picture)]})
    predictions = client.invoke(table).get_predictions()
    pd.testing.assert_frame_equal(predictions, expected, atol=1e-5)
    assert endpoint.get("/health").status_code == 200


@pytest.mark.parametrize(
    "request_",
    [
        {"dataframe_split": {"columns": ["file"], "index": [7, 8], "data": [[A], [B]]}},
        {"dataframe_split": {"columns": ["id", "file"], "data": [[1, A], [2, B]]}},
        {"dataframe_split": {"data": [[A], [B]]}},
        {"dataframe_records": [{"file": A, "id": 1}, {"file": B, "id": 2}]},
        {"instances": [{"file": A}, {"file": B}]},
        {"instances": [A, B], "params": {"x": 1}},
        {"inputs": {"file": [A, B]}},
        {"inputs": [{"file": A}, {"file": B}]},
        {"inputs": [A, B]},
    ],
)
def test_each_form_of_a_table_is_read(request_: dict[str, Any]) -> None:
    _, files = _parse(json.dumps(request_).encode(), LIMITS)
    assert [file.data for file in files] == [b"\0\0\0", b"\0\0\1"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"", 400, "the JSON is malformed: "),
        (b"[]", 400, "the JSON is malformed: "),
        (b"\xff", 400, "the JSON is malformed: "),
        (b"{}", 400, "exactly one of the fields dataframe_split, dataframe_records, instances, inputs"),
        (b'{"inputs": ["AAAA"], "instances": ["AAAA"]}', 400, "exactly one of"),
        (b'{"dataframe_split": {"columns": ["path"], "data": [["AAAA"]]}}', 400, "has no column `file`"),
        (b'{"dataframe_split": {"data": [["AAAA"], []]}}', 400, "no text in the column `file`"),
        (b'{"dataframe_split": {"data": [[1]]}}', 400, "no text in the column `file`"),
        (b'{"dataframe_records": [{"song": "AAAA"}]}', 400, "dataframe_records.0.file: Field required"),
        (b'{"inputs": ["data:audio/mpeg;base64,AAAA"]}', 400, "file 1 is not base64"),
        (b'{"inputs": []}', 400, "has no files"),
        (b'{"inputs": null}', 400, "has no files"),
        (b'{"inputs": ["AAAA", "AAAA", "AAAA"]}', 413, "3 files, more than the limit of 2"),
        (b'{"inputs": [' + b"0," * 5000, 413, "more values than the limit of 1020"),
        (b"[" * 1000, 400, "the JSON is malformed: "),
    ],
    ids=lambda value: value[:60].decode(errors="replace") if isinstance(value, bytes) else None,
)
def test_a_malformed_table_is_refused(body: bytes, status: int, detail: str) -> None:
    with pytest.raises(RefusalError) as raised:
        _parse(body, LIMITS)
    assert (raised.value.status, detail in raised.value.detail) == (status, True), raised.value.detail


def test_a_body_that_would_fill_the_memory_is_refused() -> None:
    check_size(34_000_000, LIMITS)
    with pytest.raises(RefusalError, match="limit of 34 MB; send the file itself to /v1/predict") as raised:
        check_size(34_000_001, LIMITS)
    assert raised.value.status == 413


def test_an_unusable_file_or_content_type_is_refused(endpoint: httpx.Client, picture: bytes) -> None:
    refused = endpoint.post("/invocations", json={"inputs": [b64encode(b"not music").decode()]})
    assert (refused.status_code, "neither a PNG nor audio" in refused.json()["detail"]) == (415, True)
    refused = endpoint.post("/invocations", content=picture, headers={"content-type": "text/csv"})
    assert (refused.status_code, CONTENT_TYPE in refused.json()["detail"]) == (415, True)
