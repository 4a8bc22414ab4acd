import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from raygenre.model.classifier import Classifier, Prediction
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.spectrogram.image import write_png
from raygenre.spectrogram.song import read
from raygenre.workflows import predict as batch
from raygenre.workflows.predict import Answer
from tests.helpers.sounds import encode, noise, tone

GENRES = ("blues", "error", "rock")  # one is named as a column of the table


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(GenreCNN(ModelConfig(genres=3, widths=(4, 4, 4))), GENRES)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("music")
    (root / "album").mkdir()
    (root / ".trash").mkdir()
    (root / "a.wav").write_bytes(encode(tone(440, seconds=3)))
    (root / "album" / "b.flac").write_bytes(encode(noise(seconds=62, seed=0), "flac", "flac"))
    (root / ".trash" / "c.wav").write_bytes(encode(tone(440, seconds=3)))
    (root / "drawn.png").write_bytes(write_png(np.full((128, 333), 9, dtype=np.uint8)))
    (root / "cover.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    (root / "note.mp3").write_text("not music")
    (root / "list.m3u").write_text("#EXTM3U\nalbum/b.flac\nhttp://host/radio.mp3\n./a.wav\n")
    return root


def test_folders_playlists_and_files_each_song_once(music: Path) -> None:
    found = batch.expand([music / "list.m3u", music / "a.wav", music, music / "missing.wav"])
    names = [path.relative_to(music).as_posix() for path in found.songs]
    assert names == ["album/b.flac", "a.wav", "drawn.png", "note.mp3", "missing.wav"]
    [(entry, _)] = found.skipped
    assert entry == f"{music / 'list.m3u'}: http://host/radio.mp3"
    assert not found.failed


def test_links_to_a_song_are_that_song(music: Path, tmp_path: Path) -> None:
    (tmp_path / "link.wav").symlink_to(music / "a.wav")
    assert batch.expand([music / "a.wav", tmp_path / "link.wav"]).songs == (music / "a.wav",)


def test_what_gives_no_song_is_named(tmp_path: Path) -> None:
    found = batch.expand([tmp_path, tmp_path / "none.m3u8"])
    assert found.failed == (
        (str(tmp_path), "the folder holds no audio file"),
        (str(tmp_path / "none.m3u8"), "No such file or directory"),
    )


@pytest.mark.parametrize("jobs", [1, 2])
def test_answers_are_the_librarys_in_the_order_of_the_songs(classifier: Classifier, music: Path, jobs: int) -> None:
    songs = [music / name for name in ("album/b.flac", "note.mp3", "a.wav", "none.wav", "drawn.png")]
    answers = list(batch.predict(classifier, songs, jobs=jobs))
    assert [answer.path for answer in answers] == songs
    for answer in (answers[0], answers[2], answers[4]):
        song = read(answer.path)
        expected = classifier.predict(song)
        assert answer.prediction is not None
        assert answer.prediction.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
        assert len(answer.prediction.windows) == len(song.levels)
        assert answer.times == song.times
        assert not answer.error
    assert "not audio" in answers[1].error
    assert answers[3].error == "No such file or directory"


def test_pipes_are_not_waited_for(classifier: Classifier, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    [answer] = batch.predict(classifier, [tmp_path / "pipe.wav"], jobs=1)
    assert answer.error == "it is no regular file"


def prediction(uncertain: bool = False, windows: int = 1) -> Prediction:
    shares = {"blues": 0.25, "error": 0.125, "rock": 0.625}
    return Prediction("rock", 0.625, uncertain, shares, (shares,) * windows)


ANSWERS = [
    Answer(Path("a.mp3"), prediction(True, 2), ((0.0, 30.0), (30.0, 60.0)), ""),
    Answer(Path("b, \u266b.png"), prediction(), (), ""),
    Answer(Path("c.mp3"), None, (), "the file is empty"),
]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_table_has_a_row_a_file(suffix: str) -> None:
    data = io.BytesIO(batch.table_file(batch.table(ANSWERS, GENRES), suffix))
    found = pd.read_csv(data) if suffix == ".csv" else pd.read_parquet(data)
    assert list(found.columns) == [
        "path", "genre", "confidence", "uncertain", "seconds", "windows", "blues", "error (genre)", "rock", "error",
    ]  # fmt: skip
    assert found["path"].tolist() == ["a.mp3", "b, \u266b.png", "c.mp3"]
    assert found["genre"].tolist()[:2] == ["rock", "rock"]
    assert found["uncertain"].tolist()[:2] == [True, False]
    assert found["seconds"].tolist()[0] == 60
    assert found["windows"].tolist()[:2] == [2, 1]
    assert found["error (genre)"].tolist()[:2] == [0.125, 0.125]
    assert found["error"].tolist()[2] == "the file is empty"
    assert found[["genre", "confidence", "uncertain", "windows", "rock"]].iloc[2].isna().all()
    assert found[["confidence", "seconds", "rock"]].dtypes.unique().tolist() == [np.dtype("float64")]


def test_a_table_may_be_empty() -> None:
    for suffix in batch.TABLES:
        assert batch.table_file(batch.table([], GENRES), suffix)
    assert batch.table_file(batch.table(ANSWERS[2:], GENRES), ".parquet")


def test_other_tables_are_refused() -> None:
    with pytest.raises(ValueError, match=r"not as \.xlsx"):
        batch.table_file(batch.table([], GENRES), ".xlsx")


def test_records_hold_every_window() -> None:
    record = json.loads(json.dumps(batch.record(ANSWERS[0])))
    assert record["file"] == "a.mp3"
    assert (record["genre"], record["confidence"], record["uncertain"]) == ("rock", 0.625, True)
    assert [(window["start"], window["end"]) for window in record["windows"]] == [(0, 30), (30, 60)]
    assert record["windows"][1]["genre"] == "rock"
    assert record["windows"][1]["probabilities"] == record["probabilities"]
    assert json.loads(json.dumps(batch.record(ANSWERS[1])))["windows"][0]["start"] is None
    assert batch.record(ANSWERS[2]) == {"file": "c.mp3", "error": "the file is empty"}


def test_names_that_are_not_utf_8_can_be_written() -> None:
    answer = Answer(Path(os.fsdecode(b"caf\xe9.mp3")), None, (), "damaged")
    assert b"caf\\xe9.mp3" in batch.table_file(batch.table([answer], GENRES), ".csv")
