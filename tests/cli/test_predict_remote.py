"""`raygenre predict --url` with an endpoint that sends scripted answers.

tests/serve/test_client.py uses a real endpoint.
"""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from raygenre.cli import app
from serve.schema import EXAMPLES, ModelFacts
from tests.cli.test_imports import HEAVY, run
from tests.helpers.mlflow_server import free_port
from tests.helpers.scripted_server import Reply, scripted

JSON = {"Content-Type": "application/json"}
FACTS = Reply(200, [json.dumps(ModelFacts.model_json_schema()["example"]).encode()], JSON)
FOUND = Reply(200, [json.dumps(EXAMPLES["answer"]).encode()], JSON)


def predict(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def test_the_key_of_the_environment_is_sent(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYGENRE_API_KEY", "k" * 16)
    with scripted(FACTS, FOUND) as server:
        result = predict("--url", server.url, "--json", song)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["genre"] == "jazz"
    assert [headers["Authorization"] for _, _, headers, _ in server.requests] == [f"Bearer {'k' * 16}"] * 2


def test_a_missing_key_is_named_before_anything_is_sent(song: Path) -> None:
    problem = {"status": 401, "detail": "missing or wrong API key", "request_id": ""}
    with scripted(Reply(401, [json.dumps(problem).encode()], JSON)) as server:
        result = predict("--url", server.url, song)
    assert result.exit_code == 2
    assert "requires a valid API key; set RAYGENRE_API_KEY to one of its keys" in result.stderr
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "options", [["--model", "m"], ["--tags"], ["--no-cache"], ["--storage", "s"], ["--plot", "p.png"]]
)
def test_options_of_models_here_are_refused(song: Path, options: list[str]) -> None:
    result = predict("--url", "http://localhost", song, *options)
    assert result.exit_code == 2
    assert f"{options[0]}" in result.stderr


def test_predict_url_imports_no_heavy_library(song: Path) -> None:
    down = ["predict", "--url", f"http://127.0.0.1:{free_port()}", str(song)]
    with scripted(FACTS, FOUND) as server:
        up = ["predict", "--url", server.url, str(song)]
        outcomes = run([up, down], HEAVY)
    assert [status for _, status, _ in outcomes] == [0, 2]
    assert "is unreachable: Connection refused (3 attempts); check the address" in outcomes[1][2]
