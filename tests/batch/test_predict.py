"""Predicting on a Ray cluster: the same answers as on one machine, whatever the sources are, and after crashes."""

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
from raygenre.batch.predict import SongOutcome, _Predictor, predict_all
from raygenre.batch.reading import Predict
from raygenre.batch.rows import Rows
from raygenre.batch.songs import SongList, find_songs
from raygenre.batch.stores import Stores
from raygenre.model.classifier import Classifier
from raygenre.system.location import Location
from raygenre.workflows.predict import SongResult, predict_songs
from raygenre.workflows.sources import expand_sources

pytestmark = pytest.mark.usefixtures("ray_cluster")


def predict(classifier: Classifier, songs: SongList, folder: Path, **options: int) -> list[SongOutcome]:
    return list(predict_all(classifier, songs, Output(Location(str(folder))), **options))


def rows(folder: Path) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))], ignore_index=True)


def expected(classifier: Classifier, music: Path) -> dict[str, SongResult]:
    found = predict_songs(classifier, expand_sources([music]).songs, jobs=1)
    return {str(result.path): result for result in found}


def check_rows(table: pd.DataFrame, results: dict[str, SongResult]) -> None:
    """Check that rows have the very results of a prediction on one machine."""
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


def test_answers_are_those_of_one_machine_and_continue(classifier: Classifier, music: Path, tmp_path: Path) -> None:
    songs, output = find_songs([str(music)]), Output(Location(str(tmp_path)))
    with closing(predict_all(classifier, songs, output, jobs=1)) as outcomes:
        next(outcomes)
    left = songs.without(output.done())
    assert len(left) < len(songs)
    before = {path.name for path in tmp_path.glob("*.parquet")}
    later = predict(classifier, left, tmp_path)
    assert {outcome.path for outcome in later} == set(left.table["path"].to_pylist())
    assert before < {path.name for path in tmp_path.glob("*.parquet")}
    results = expected(classifier, music)
    check_rows(rows(tmp_path), results)
    assert {outcome.path: outcome.error for outcome in later}.items() <= {
        path: result.error for path, result in results.items()
    }.items()
    assert len(songs.without(output.done())) == 0


def test_decoding_and_classifying_in_two_stages(classifier: Classifier, music: Path, tmp_path: Path) -> None:
    predict(classifier, find_songs([str(music)]), tmp_path, jobs=1, gpus=1)
    check_rows(rows(tmp_path), expected(classifier, music))


@pytest.mark.parametrize("named", [True, False])
def test_content_in_parquet_has_the_same_answers(
    classifier: Classifier, music: Path, tmp_path: Path, named: bool
) -> None:
    paths = sorted(path for path in music.rglob("*") if path.suffix in {".wav", ".flac"})
    columns = {"sound": [path.read_bytes() for path in paths]} | ({"path": list(map(str, paths))} if named else {})
    pq.write_table(pa.table(columns), tmp_path / "in.parquet", row_group_size=2)
    predict(classifier, find_songs([str(tmp_path / "in.parquet")], "sound"), tmp_path / "out")
    local = expected(classifier, music)
    names = [str(path) if named else f"{tmp_path / 'in.parquet'}#{number}" for number, path in enumerate(paths)]
    check_rows(
        rows(tmp_path / "out"),
        {name: local[str(path)] for name, path in zip(names, paths, strict=True) if str(path) in local},
    )


@dataclass(frozen=True)
class Crash(Predict):
    """Kills the process that reads a file of this name, as FFmpeg might."""

    name: str = "short.wav"

    def __call__(self, item: tuple[str, Path | str | bytes]) -> SongResult:
        if item[0].endswith(self.name):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(item)


def test_a_file_that_crashes_its_decoder_gets_an_error(classifier: Classifier, music: Path) -> None:
    songs = find_songs([str(music)])
    work = ray.put(Crash(classifier, songs.stores, 60.0))
    execution.set_up()
    found = ray.data.from_arrow(songs.table).map_batches(
        _Predictor,
        batch_size=None,
        batch_format="pyarrow",
        fn_constructor_args=(work, Rows(classifier.genres), "path"),
        compute=execution.pool(1),
        num_cpus=1,
    )
    table = found.to_pandas()
    results = expected(classifier, music)
    assert set(table["path"]) == results.keys()
    errors = dict(zip(table["path"], table["error"], strict=True))
    crashed = str(music / "blues" / "short.wav")
    assert "SIGKILL" in errors.pop(crashed)
    assert "over 60 s" in errors.pop(str(music / "blues" / "long.flac"))
    assert errors == {path: results[path].error for path in errors}


def test_nodes_are_checked_before_a_batch_starts(tmp_path: Path) -> None:
    check_nodes([str(tmp_path)], Location(str(tmp_path)))
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=f"{tmp_path}/none cannot be read there: No such file"):
        check_nodes([str(tmp_path / "none")], Location(str(tmp_path)))
    other = Needs((), Location(str(tmp_path)), "gone", "0.0.1")
    assert other.problem().endswith("not 0.0.1; install the same version on every node")


def test_songs_at_urls_have_the_same_answers(classifier: Classifier, music: Path, tmp_path: Path) -> None:
    songs = find_songs([f"file://{music}/blues", f"file://{music}/jazz/b.mp3"])
    assert songs.stores == Stores({"file": ""})
    assert list(predict_all(classifier, songs, Output(Location(f"file://{tmp_path}/out"))))
    local = expected(classifier, music)
    urls = {f"file://{path}": result for path, result in local.items()}
    check_rows(rows(tmp_path / "out"), {url: urls[url] for url in songs.table["path"].to_pylist()})
