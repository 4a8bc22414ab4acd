"""Predictions on a Ray cluster are the same as on one machine, for any source and even after crashes."""

import math
import os
import signal
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import ray.data

from raygenre.batch import execution
from raygenre.batch.nodes import Needs, check_nodes
from raygenre.batch.output import Output
from raygenre.batch.predict import Predictor, SongOutcome, Store, predict_all
from raygenre.batch.reading import Decode, Predict, classify, process
from raygenre.batch.rows import Rows
from raygenre.batch.songs import SongList, find_songs
from raygenre.batch.stores import Stores
from raygenre.inputs.features import Features
from raygenre.model.classifier import Classifier
from raygenre.system.location import Location
from raygenre.workflows.predict import SongResult, predict_song, predict_songs
from raygenre.workflows.sources import expand_sources
from tests.helpers.musicnn import small_head


def predict(classifier: Classifier, songs: SongList, folder: Path, **options: int) -> list[SongOutcome]:
    return list(predict_all(classifier, songs, Output(Location(str(folder))), **options))


def rows(folder: Path) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))], ignore_index=True)


def expected(classifier: Classifier, music: Path) -> dict[str, SongResult]:
    found = predict_songs(classifier, expand_sources([music]).songs, jobs=1)
    return {str(result.path): result for result in found}


def check_rows(table: pd.DataFrame, results: dict[str, SongResult]) -> None:
    """Check that the rows of a table contain exactly the results of a prediction on one machine."""
    assert set(table["path"]) == results.keys()
    for path, group in table.groupby("path"):
        result = results[str(path)]
        assert set(group["error"]) == {result.error}
        assert set(group["tagged_genre"]) == {"; ".join(result.tags.genres)}
        if not (prediction := result.prediction):
            assert group["window"].isna().tolist() == [True]
            continue
        assert group["window"].tolist() == list(range(len(prediction.windows)))
        assert set(group["genre"]) == {prediction.genre}
        assert set(group["confidence"]) == {prediction.confidence}
        shares = [
            dict(zip(prediction.probabilities, row, strict=True)) for row in group[GENRE_COLUMNS].to_numpy().tolist()
        ]
        assert shares == [dict(window) for window in prediction.windows]  # bit for bit
        times = list(zip(group["start"], group["end"], strict=True))
        assert times == list(result.times) or not result.times


GENRE_COLUMNS = ["blues", "jazz", "path (genre)"]


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.slow
def test_answers_are_those_of_one_machine_and_continue(classifier: Classifier, music: Path, tmp_path: Path) -> None:
    songs, output = find_songs([str(music)]), Output(Location(str(tmp_path)))
    with closing(predict_all(classifier, songs, output, jobs=1)) as outcomes:
        next(outcomes)
    left = songs.without(output.done())
    assert len(left) < len(songs)
    before = {path.name for path in tmp_path.glob("*.parquet")}
    later = predict(classifier, left, tmp_path, jobs=1)
    assert {outcome.path for outcome in later} == set(left.table["path"].to_pylist())
    assert before < {path.name for path in tmp_path.glob("*.parquet")}
    results = expected(classifier, music)
    check_rows(rows(tmp_path), results)
    assert {outcome.path: outcome.error for outcome in later}.items() <= {
        path: result.error for path, result in results.items()
    }.items()
    assert len(songs.without(output.done())) == 0


@pytest.mark.usefixtures("ray_cluster")
def test_decoding_and_classifying_in_two_stages(classifier: Classifier, music: Path, tmp_path: Path) -> None:
    predict(classifier, find_songs([str(music)]), tmp_path, jobs=1, gpus=1)
    check_rows(rows(tmp_path), expected(classifier, music))


@dataclass(frozen=True)
class Crash(Predict):
    """A prediction that kills its own process, as a crash in FFmpeg would, when it reads the file `name`."""

    name: str = "short.wav"

    def __call__(self, item: tuple[str, Path | str | bytes]) -> SongResult:
        if item[0].endswith(self.name):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(item)


@pytest.mark.usefixtures("ray_cluster")
def test_a_file_that_crashes_its_decoder_gets_an_error(classifier: Classifier, music: Path, tmp_path: Path) -> None:
    songs = find_songs([str(music)])
    work = ray.put(Crash(classifier, songs.stores, 60.0))
    store = Store(Rows(classifier.genres), Output(Location(str(tmp_path))))
    execution.set_up()
    found = ray.data.from_arrow(songs.table).map_batches(
        Predictor,
        batch_size=None,
        batch_format="pyarrow",
        fn_constructor_args=(work, "path", store),
        compute=execution.pool(1),
        num_cpus=1,
    )
    errors = {row["path"]: row["error"] for row in execution.rows(found, tmp_path)}
    results = expected(classifier, music)
    assert errors.keys() == results.keys()
    assert "SIGKILL" in errors.pop(str(music / "blues" / "short.wav"))
    assert "limit of 60 s" in errors.pop(str(music / "blues" / "long.flac"))
    assert errors == {path: results[path].error for path in errors}


def test_a_repeated_block_is_stored_in_the_same_file(classifier: Classifier, music: Path, tmp_path: Path) -> None:
    songs = find_songs([str(music)])
    work = Predict(classifier, songs.stores, math.inf)
    store = Store(Rows(classifier.genres), Output(Location(str(tmp_path))))
    first = list(process(work, songs.table, column="", isolated=False))
    repeated = list(process(work, songs.table, column="", isolated=True))  # in two processes; songs finish in any order
    assert [name for name, _ in repeated] == [name for name, _ in first] == songs.table["path"].to_pylist()
    for results in (first, repeated, reversed(repeated)):
        store(list(results))
    assert len(list(tmp_path.iterdir())) == 1
    assert sorted(store.output.done().to_pylist()) == sorted(songs.table["path"].to_pylist())


def test_songs_missing_from_their_parquet_file_fail_alone(classifier: Classifier, music: Path, tmp_path: Path) -> None:
    sounds = [path.read_bytes() for path in sorted(music.rglob("*.wav"))[:2]]
    pq.write_table(pa.table({"sound": [*sounds, *sounds]}), tmp_path / "in.parquet")
    songs = find_songs([str(tmp_path / "in.parquet")], "sound")
    pq.write_table(pa.table({"sound": sounds}), tmp_path / "in.parquet")
    work = Predict(classifier, songs.stores, math.inf)
    found = list(process(work, songs.table, column="sound", isolated=False))
    assert [name for name, _ in found] == songs.table["path"].to_pylist()
    assert ["no longer contains this song" in result.error for _, result in found] == [False, False, True, True]


@pytest.mark.usefixtures("ray_cluster")
def test_nodes_are_checked_before_a_batch_starts(tmp_path: Path) -> None:
    check_nodes([str(tmp_path)], Location(str(tmp_path)))
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=f"{tmp_path}/none cannot be read there: No such file"):
        check_nodes([str(tmp_path / "none")], Location(str(tmp_path)))
    other = Needs((), Location(str(tmp_path)), "gone", "0.0.1")
    assert other.problem().endswith("not 0.0.1; install the same version on every node")


def test_songs_at_urls_and_in_parquet_have_the_same_answers(
    classifier: Classifier, music: Path, tmp_path: Path
) -> None:
    local = expected(classifier, music)
    pq.write_table(pa.table({"sound": [Path(path).read_bytes() for path in local]}), tmp_path / "in.parquet")
    names = {f"{tmp_path / 'in.parquet'}#{number}": path for number, path in enumerate(local)}
    names |= {f"file://{path}": path for path in local if not path.endswith(".png")}
    tables = []
    for source, column in ((str(tmp_path / "in.parquet"), "sound"), (f"file://{music}", "")):
        songs = find_songs([source], column)
        work = Predict(classifier, songs.stores, math.inf)
        found = list(process(work, songs.table, column=songs.column, isolated=False))
        tables.append(Rows(classifier.genres).table(found).to_pandas())
    check_rows(pd.concat(tables), {name: local[path] for name, path in names.items()})


def test_pretrained_features_are_computed_from_decoded_samples(features: Features, music: Path) -> None:
    classifier = small_head(features, ("blues", "jazz"))
    for name in ("blues/long.flac", "blues/short.wav", "jazz/rest.wav", "jazz/note.mp3", "jazz/drawn.png"):
        decoded = Decode(classifier.input, Stores(), math.inf)((name, music / name))
        found, local = classify(classifier, decoded), predict_song(classifier, music / name)
        assert (found.prediction, found.times, found.error) == (local.prediction, local.times, local.error)
        assert found.tags == local.tags
        assert (decoded.samples is None) == name.endswith(("mp3", "png"))
