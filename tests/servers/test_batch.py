"""`raygenre predict` and `render` on a private cluster, with songs and output in S3."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.dataset as pds
import pyarrow.fs
import pytest
import torch

from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.workflows.predict import predict_songs
from tests.helpers.sounds import encode, noise, tone
from tests.servers.conftest import BUCKET, KEYS

pytestmark = pytest.mark.slow


def raygenre(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", "from raygenre.cli import app; app()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | KEYS, timeout=300, check=False)


def test_songs_in_a_store_are_predicted_and_rendered(s3: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    Classifier(GenreCNN(ModelConfig(genres=2, widths=(4, 4, 4))), ("blues", "jazz")).save(tmp_path / "model")
    classifier = Classifier.load(tmp_path / "model")
    songs = {
        "blues/a b.wav": encode(tone(440, seconds=3)),
        "jazz/é?.flac": encode(noise(seconds=4, seed=0), "flac", "flac"),
    }
    for number, (name, content) in enumerate([*songs.items(), ("jazz/note.mp3", b"text")]):
        (tmp_path / f"{number}").write_bytes(content)
        s3.put_object(Bucket=BUCKET, Key=f"music/{name}", Body=content)
    options = f"?endpoint_override={s3.meta.endpoint_url}"
    output = f"s3://{BUCKET}/genres{options}"
    command: tuple[object, ...] = (
        "predict",
        f"s3://{BUCKET}/music{options}",
        "--address",
        "local",
        "--jobs",
        1,
        "-o",
        output,
    )
    command += ("--model", tmp_path / "model", "--storage", tmp_path)
    first = raygenre(*command)
    assert first.returncode == 1, first.stderr
    [error] = first.stderr.splitlines()  # only one line, so Ray's files are not mentioned
    assert error.startswith(f"error: s3://{BUCKET}/music/jazz/note.mp3: the file is neither a PNG nor audio")
    store = pyarrow.fs.S3FileSystem(
        access_key=KEYS["AWS_ACCESS_KEY_ID"],
        secret_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        endpoint_override=s3.meta.endpoint_url,
        region=KEYS["AWS_DEFAULT_REGION"],
    )
    table = pds.dataset(f"{BUCKET}/genres", filesystem=store).to_table().to_pandas().set_index("path")
    for result, name in zip(predict_songs(classifier, [tmp_path / "0", tmp_path / "1"], jobs=1), songs, strict=True):
        assert result.prediction is not None
        row = table.loc[f"s3://{BUCKET}/music/{name}"]
        assert list(map(float, row[["blues", "jazz"]])) == list(result.prediction.windows[0].values())
    assert "3 of 3 songs are already done" in raygenre(*command).stdout
    missing = raygenre(*command[:-2], "--storage", tmp_path, "-o", f"s3://no-such-bucket/x{options}")
    assert missing.returncode == 2
    assert "the bucket no-such-bucket of" in missing.stderr
    target = f"s3://{BUCKET}/dataset{options}"
    rendered = raygenre("render", f"s3://{BUCKET}/music{options}", "--address", "local", "-o", target)
    assert "2 rendered into" in rendered.stdout, rendered.stderr
    images = s3.list_objects_v2(Bucket=BUCKET, Prefix="dataset/images_original")["Contents"]
    assert [item["Key"].rpartition("/")[2] for item in images] == ["a b.png", "é?.png"]
