"""The input songs and the output of a batch, tested without a cluster."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raygenre.batch.errors import BatchError
from raygenre.batch.output import Output
from raygenre.batch.parquet_songs import contents
from raygenre.batch.rows import Rows
from raygenre.batch.songs import blocks, find_songs
from raygenre.batch.stores import Stores
from raygenre.prediction import Prediction
from raygenre.system.location import Location, LocationError
from raygenre.workflows.predict import SongResult


def names(sources: list[str], column: str = "") -> list[str]:
    paths: list[str] = find_songs(sources, column).table["path"].to_pylist()
    return paths


def test_each_song_of_folders_and_urls_is_found_once(music: Path, tmp_path: Path) -> None:
    found = find_songs([str(music), f"file://{music}", str(music / "blues" / "short.wav"), f"file://{tmp_path}"])
    files = ["blues/long.flac", "blues/short.wav", "jazz/b.mp3", "jazz/note.mp3", "jazz/rest.wav"]
    local = [str(music / name) for name in sorted([*files, "jazz/drawn.png"])]
    assert found.table["path"].to_pylist() == [*local, *(f"file://{music}/{name}" for name in files)]
    assert found.clutter == {"hidden": 2, ".jpg": 2, ".png": 1}
    assert found.failed == ((f"file://{tmp_path}", "it contains no audio files"),)


def test_parquet_names_songs(music: Path, tmp_path: Path) -> None:
    folder = tmp_path / "songs.parquet"
    folder.mkdir()
    pq.write_table(pa.table({"path": ["/a.wav", None, "s3://b/c d?.wav"], "n": [1, 2, 3]}), folder / "1.parquet")
    pq.write_table(pa.table({"path": ["/e.wav", "/a.wav"]}), folder / "2.parquet")
    (folder / "_SUCCESS").touch()
    assert names([str(folder)]) == names([f"file://{folder}"]) == ["/a.wav", "s3://b/c d?.wav", "/e.wav"]
    with pytest.raises(BatchError, match=r"it has no column sound; with --column, choose one that .*: path, n"):
        names([str(folder)], "sound")
    with pytest.raises(BatchError, match="its column n has the type int64"):
        names([str(folder)], "n")
    with pytest.raises(BatchError, match="is not a complete Parquet file"):
        names([str(music / "jazz" / "note.mp3")], "path")


def test_blocks_keep_to_one_group_of_rows(tmp_path: Path) -> None:
    for number in range(2):
        table = pa.table({"sound": [bytes([number, row]) for row in range(50)]})
        pq.write_table(table, tmp_path / f"{number}.parquet", row_group_size=20)
    songs = find_songs([str(tmp_path)], "sound")
    found: dict[str, object] = {}
    for block in blocks(songs.table, 15):
        assert len(block.group_by(["file", "group"]).aggregate([])) == 1
        assert 0 < len(block) <= 15
        found |= dict(contents(block, songs.stores, "sound"))
    assert found == {f"{tmp_path}/{n}.parquet#{row}": bytes([n, row]) for n in range(2) for row in range(50)}


def test_a_store_has_one_set_of_options() -> None:
    assert Stores.of(["s3://a?x=1", "s3://b/c?x=1", "/d?", "gs://e"]).options == {"s3": "?x=1", "gs": ""}
    with pytest.raises(LocationError, match="all s3:// sources must have the same options"):
        Stores.of(["s3://a?x=1", "s3://a"])


def test_an_output_belongs_to_one_model(tmp_path: Path) -> None:
    output, decisive = Output(Location(str(tmp_path / "out"))), {"sha256": "1", "genres": ["jazz"]}
    output.open("raygenre/1", decisive)
    output.open("another name", decisive)
    assert output.done().to_pylist() == []
    good = SongResult(Path(), Prediction("jazz", 1.0, False, {"jazz": 1.0}, ({"jazz": 1.0},) * 3), (), "")
    bad = SongResult(Path(), None, (), "damaged")
    for _ in range(2):
        output.write(Rows(("jazz",)).table([("a", bad), ("b", good)]))
    output.write(Rows(("jazz",)).table([("c", bad)]))
    assert sorted(output.done().to_pylist()) == ["a", "b", "c"]
    output.forget_failures()
    assert output.done().to_pylist() == ["b"]
    assert len(pq.read_table(tmp_path / "out")) == 3  # a row for each window
    with pytest.raises(BatchError, match="contains results from another model"):
        output.open("raygenre/2", decisive | {"sha256": "2"})
    (tmp_path / "mine.txt").touch()
    with pytest.raises(BatchError, match=r"contains files that are not batch results, such as mine\.txt"):
        Output(Location(str(tmp_path))).open("raygenre/1", decisive)
    (tmp_path / "out" / "part-1.parquet").write_bytes(b"PAR1")
    with pytest.raises(BatchError, match="is damaged"):
        output.done()
