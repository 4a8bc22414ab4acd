import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from raygenre.evaluation.training_data import TrainingData
from raygenre.model.classifier import Classifier, Prediction
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.spectrogram.image import write_png
from raygenre.spectrogram.song import read
from raygenre.workflows.predict import (
    TABLES,
    SongResult,
    encode_table,
    expand_sources,
    json_record,
    predict_songs,
    relative_name,
    results_table,
    summary_text,
)
from tests.helpers.sounds import encode, noise, tone

SYNTHETIC = TrainingData("synthetic", "synthetic")
GENRES = ("blues", "error", "rock")  # "error" is also a column of the table


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


def test_sources_expand_to_each_song_once(music: Path) -> None:
    files = expand_sources([music / "list.m3u", music / "a.wav", music, music / "missing.wav"])
    names = [path.relative_to(music).as_posix() for path in files.songs]
    assert names == ["album/b.flac", "a.wav", "drawn.png", "note.mp3", "missing.wav"]
    [(entry, _)] = files.skipped
    assert entry == f"{music / 'list.m3u'}: http://host/radio.mp3"
    assert not files.failed


def test_a_link_to_a_song_is_the_same_song(music: Path, tmp_path: Path) -> None:
    (tmp_path / "link.wav").symlink_to(music / "a.wav")
    assert expand_sources([music / "a.wav", tmp_path / "link.wav"]).songs == (music / "a.wav",)


def test_sources_without_songs_are_reported(tmp_path: Path) -> None:
    files = expand_sources([tmp_path, tmp_path / "none.m3u8"])
    assert files.failed == (
        (str(tmp_path), "the folder contains no audio file"),
        (str(tmp_path / "none.m3u8"), "No such file or directory"),
    )


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_match_the_library_in_order_of_the_songs(classifier: Classifier, music: Path, jobs: int) -> None:
    songs = [music / name for name in ("album/b.flac", "note.mp3", "a.wav", "none.wav", "drawn.png")]
    results = list(predict_songs(classifier, songs, jobs=jobs))
    assert [result.path for result in results] == songs
    for result in (results[0], results[2], results[4]):
        song = read(result.path)
        expected = classifier.predict(song)
        assert result.prediction is not None
        assert result.prediction.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
        assert len(result.prediction.windows) == len(song.levels)
        assert result.times == song.times
        assert not result.error
    assert "not audio" in results[1].error
    assert results[3].error == "No such file or directory"


def test_pipes_are_skipped_without_waiting(classifier: Classifier, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    [result] = predict_songs(classifier, [tmp_path / "pipe.wav"], jobs=1)
    assert result.error == "it is not a regular file"


def prediction(uncertain: bool = False, windows: int = 1) -> Prediction:
    shares = {"blues": 0.25, "error": 0.125, "rock": 0.625}
    return Prediction("rock", 0.625, uncertain, shares, (shares,) * windows)


RESULTS = [
    SongResult(Path("a.mp3"), prediction(True, 2), ((0.0, 30.0), (30.0, 60.0)), ""),
    SongResult(Path("b, \u266b.png"), prediction(), (), ""),
    SongResult(Path("c.mp3"), None, (), "the file is empty"),
]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_table_has_one_row_per_file(suffix: str) -> None:
    data = io.BytesIO(encode_table(results_table(RESULTS, GENRES, SYNTHETIC), suffix))
    table = pd.read_csv(data) if suffix == ".csv" else pd.read_parquet(data)
    assert list(table.columns) == [
        "path", "genre", "confidence", "uncertain", "seconds", "windows", "blues", "error (genre)", "rock",
        "trained_on", "error",
    ]  # fmt: skip
    assert table["path"].tolist() == ["a.mp3", "b, \u266b.png", "c.mp3"]
    assert table["genre"].tolist()[:2] == ["rock", "rock"]
    assert table["uncertain"].tolist()[:2] == [True, False]
    assert table["seconds"].tolist()[0] == 60
    assert table["windows"].tolist()[:2] == [2, 1]
    assert table["error (genre)"].tolist()[:2] == [0.125, 0.125]
    assert table["trained_on"].tolist() == ["synthetic"] * 3
    assert table["error"].tolist()[2] == "the file is empty"
    assert table[["genre", "confidence", "uncertain", "windows", "rock"]].iloc[2].isna().all()
    assert table[["confidence", "seconds", "rock"]].dtypes.unique().tolist() == [np.dtype("float64")]


def test_tables_may_be_empty() -> None:
    for suffix in TABLES:
        assert encode_table(results_table([], GENRES, SYNTHETIC), suffix)
    assert encode_table(results_table(RESULTS[2:], GENRES, SYNTHETIC), ".parquet")


def test_other_table_formats_are_errors() -> None:
    with pytest.raises(ValueError, match=r"not \.xlsx"):
        encode_table(results_table([], GENRES, SYNTHETIC), ".xlsx")


def test_json_records_have_all_windows() -> None:
    record = json.loads(json.dumps(json_record(RESULTS[0], "raygenre/1", SYNTHETIC)))
    assert record["file"] == "a.mp3"
    assert (record["genre"], record["confidence"], record["uncertain"]) == ("rock", 0.625, True)
    assert [(window["start"], window["end"]) for window in record["windows"]] == [(0, 30), (30, 60)]
    assert record["windows"][1]["genre"] == "rock"
    assert record["windows"][1]["probabilities"] == record["probabilities"]
    picture = json.loads(json.dumps(json_record(RESULTS[1], "raygenre/1", SYNTHETIC)))
    assert picture["windows"][0]["start"] is None
    model = {"model": "raygenre/1", "trained_on": {"kind": "synthetic", "name": "synthetic"}}
    assert model.items() <= record.items()
    failed = json_record(RESULTS[2], "raygenre/1", SYNTHETIC)
    assert failed == {"file": "c.mp3", "error": "the file is empty"} | model


def test_a_summary_counts_uncertain_and_failed_songs_apart() -> None:
    assert summary_text([*RESULTS, RESULTS[1], RESULTS[2]]) == "5 songs: rock 2; 1 uncertain; 2 failed"
    assert summary_text(RESULTS[:1]) == "1 song: 1 uncertain"
    assert summary_text([]) == "no songs"


def test_names_are_relative_to_what_the_sources_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one/live/a.wav", "two/a.wav"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)

    def names(*sources: str | Path) -> list[str]:
        files = expand_sources([Path(source) for source in sources])
        return [relative_name(song, files.root) for song in files.songs]

    assert names("one") == names(tmp_path / "one") == ["live/a.wav"]
    assert names("one", tmp_path / "two") == names(".") == ["one/live/a.wav", "two/a.wav"]
    assert names("one/live/a.wav") == ["a.wav"]
    assert names("one/live/a.wav", "two/a.wav") == ["one/live/a.wav", "two/a.wav"]
    assert names("one", "/nowhere/a.wav") == [str(tmp_path / "one/live/a.wav"), "/nowhere/a.wav"]
    (tmp_path / "one" / "list.m3u").write_text("../two/a.wav\n")
    assert names("one/list.m3u") == ["../two/a.wav"]


def test_file_names_that_are_not_utf_8_are_escaped() -> None:
    result = SongResult(Path(os.fsdecode(b"caf\xe9.mp3")), None, (), "damaged")
    assert b"caf\\xe9.mp3" in encode_table(results_table([result], GENRES, SYNTHETIC), ".csv")
