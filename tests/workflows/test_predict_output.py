import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raygenre.audio.tags import Tags
from raygenre.evaluation.training_data import TrainingData
from raygenre.model.classifier import Prediction
from raygenre.workflows.predict import SongResult
from raygenre.workflows.predict_output import TABLES, agrees, encode_table, json_record, results_table, summary_text

SYNTHETIC = TrainingData("synthetic", "synthetic")
GENRES = ("blues", "error", "rock")  # "error" is also a column of the table


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
        "path", "artist", "album", "title", "tagged_genre", "genre", "agrees", "confidence", "uncertain", "seconds",
        "windows", "blues", "error (genre)", "rock", "trained_on", "error",
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
    no_tags = {"artist": "", "album": "", "title": "", "tagged_genres": []}
    assert failed == {"file": "c.mp3", "error": "the file is empty"} | no_tags | model


def test_a_summary_counts_uncertain_and_failed_songs_apart() -> None:
    assert summary_text([*RESULTS, RESULTS[1], RESULTS[2]]) == "5 songs: rock 2; 1 uncertain; 2 failed"
    assert summary_text(RESULTS[:1]) == "1 song: 1 uncertain"
    assert summary_text([]) == "no songs"


def test_file_names_that_are_not_utf_8_are_escaped() -> None:
    result = SongResult(Path(os.fsdecode(b"caf\xe9.mp3")), None, (), "damaged")
    assert b"caf\\xe9.mp3" in encode_table(results_table([result], GENRES, SYNTHETIC), ".csv")


@pytest.mark.parametrize("name", ["a\rb.mp3", "=1+1.mp3", "-a.mp3", "\x1b[31m.mp3", 'a",b.mp3'])
def test_tables_keep_names_and_tags_whole(name: str) -> None:
    tags = Tags(artist=name, album=f"@{name}", title=f"+{name}", genres=(name, "Rock"))
    table = results_table([SongResult(Path(name), prediction(), (), "", tags)] * 2, ("=a", "-b\r", "rock"), SYNTHETIC)
    exact = pd.read_parquet(io.BytesIO(encode_table(table, ".parquet")))
    assert exact["path"].tolist() == exact["artist"].tolist() == [name] * 2
    assert exact["tagged_genre"].tolist() == [f"{name}; Rock"] * 2
    text = encode_table(table, ".csv").decode()
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    assert [len(row) for row in rows] == [len(head)] * 2
    assert {"'=a", "'-b\r", "rock"} <= set(head)
    assert not [cell for row in (head, *rows) for cell in row if cell[:1] in set("=+-@\t\r")]
    assert rows[0][0].removeprefix("'") == name
    record = json.loads(json.dumps(json_record(SongResult(Path(name), prediction(), (), "", tags), "m", SYNTHETIC)))
    assert (record["file"], record["tagged_genres"]) == (name, [name, "Rock"])


@pytest.mark.parametrize(
    ("tagged", "agreement"),
    [
        ((), None),
        (("Gregorian chant",), None),
        (("ROCK",), True),
        (("Blues",), False),
        (("Blues", "rock "), True),
        (("Pop/Rock",), True),
        (("pop; blues",), False),
    ],
)
def test_genre_tags_are_compared_by_form(tagged: tuple[str, ...], agreement: bool | None) -> None:
    result = SongResult(Path("a.mp3"), prediction(), (), "", Tags(genres=tagged))
    assert agrees(result) is agreement
    table = results_table([result], GENRES, SYNTHETIC)
    assert table["agrees"].tolist() == [pd.NA if agreement is None else agreement]
    assert json_record(result, "m", SYNTHETIC)["agrees"] is agreement


def test_a_failed_song_agrees_with_nothing() -> None:
    assert agrees(SongResult(Path("a.mp3"), None, (), "damaged", Tags(genres=("rock",)))) is None


def test_a_summary_counts_the_tags_that_predictions_agree_with() -> None:
    results = [
        SongResult(Path("a"), prediction(uncertain), (), "", Tags(genres=(genre,)))
        for genre, uncertain in (("Rock", False), ("rock", False), ("blues", False), ("folk", False), ("rock", True))
    ]
    assert summary_text(results) == "5 songs: rock 4; 1 uncertain; 2 of 3 agree with their genre tags"
