"""The requests in the documents work as written, apart from the port."""

import json
import subprocess
from pathlib import Path

import httpx
import numpy as np
import pytest

from raygenre import spectrogram
from raygenre.audio.synthesis import synthesise
from tests.helpers.markdown import DOCUMENTS, commands, label
from tests.helpers.sounds import encode

# Requests in other documents need API keys or a cluster.
GUIDES = ("README.md", "docs/serving.md", "serve/README.md")
REQUESTS = sorted({c for path in DOCUMENTS if label(path) in GUIDES for c in commands(path) if c.startswith("curl ")})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files that the requests send."""
    folder = tmp_path_factory.mktemp("requests")
    sounds = [synthesise(genre, seed=70) for genre in ("bells", "storm", "drone")]
    (folder / "song.mp3").write_bytes(encode(np.concatenate(sounds)[: 69 * 22_050], "mp3", "libmp3lame"))
    (folder / "one.mp3").write_bytes(encode(sounds[0], "mp3", "libmp3lame"))
    (folder / "two.flac").write_bytes(encode(sounds[1], "flac", "flac"))
    return folder


@pytest.mark.parametrize("request_", REQUESTS)
def test_the_request_is_answered_as_written(request_: str, endpoint: httpx.Client, folder: Path) -> None:
    address = f"{endpoint.base_url.host}:{endpoint.base_url.port}"
    command = request_.replace("localhost:8000", address).replace("curl ", "curl --fail-with-body --silent ", 1)
    result = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    if "-o song.png" in command:
        assert spectrogram.read_png((folder / "song.png").read_bytes()).shape == (128, 333)
        return
    answer = json.loads(result.stdout.splitlines()[-1])  # for JSON lines, the last line is the whole answer
    if "/v1/jobs" in command:
        assert answer["status"] == "queued"
        return
    if "/v2/" in command:
        answer = {output["name"]: output["data"][0] for output in answer["outputs"]}
    answers = answer.get("predictions", [answer])
    assert len(answers) == command.count("@")
    assert all(answer["genre"] for answer in answers)
