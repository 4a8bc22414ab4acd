from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raygenre.data.dataset import Dataset
from raygenre.data.track_files import DataError
from raygenre.evaluation.slices import TAUGHT, Known, read_artists, read_tracks, slices
from raygenre.model.seen_tracks import SeenTracks

TRACKS = ("a", "b", "c", "d", "e")
LEVELS = np.random.default_rng(0).integers(0, 256, (5, 128, 333), dtype=np.uint8)
DATASET = Dataset(LEVELS, np.zeros(5, dtype=np.int64), TRACKS, ("x", "y"), "somewhere", (), "d")
SEEN = SeenTracks.of(TRACKS, LEVELS, train=[0, 1], test=[2, 3, 4])


def named(dataset: Dataset, seen: SeenTracks | None, known: Known) -> dict[str, str]:
    """The tracks of each slice, in one word."""
    return {part.name: "".join(np.array(dataset.tracks)[part.mask].tolist()) for part in slices(dataset, seen, known)}


def test_tracks_that_taught_the_network_are_told_from_others() -> None:
    assert named(DATASET, SEEN, Known()) == {TAUGHT: "ab", "not trained on": "cde"}
    assert named(DATASET, None, Known()) == {}


def test_a_copy_is_known_from_a_file_through_another_copy_or_by_its_picture() -> None:
    assert named(DATASET, SEEN, Known(duplicates=[("a", "elsewhere"), ("elsewhere", "c"), ("d", "far")])) == {
        TAUGHT: "ab",
        "not trained on": "cde",
        "with a known copy": "acd",
        "with a copy that was trained on": "c",
        "without a known copy": "be",
    }
    levels = LEVELS.copy()
    levels[4] = levels[3]
    assert named(replace(DATASET, levels=levels), None, Known()) == {
        "with a known copy": "de",
        "without a known copy": "abc",
    }


def test_artists_are_those_of_the_training_tracks_even_if_these_are_not_in_the_data() -> None:
    seen = SeenTracks(train={"a": "?", "gone": "?"}, test={})
    artists = {"a": "x", "b": "x", "c": "y", "d": "z", "gone": "z"}
    found = named(DATASET, seen, Known(artists=artists))
    assert found["artist trained on"] == "abd"
    assert found["artist not trained on"] == "c"
    assert found["artist not known"] == "e"
    assert named(DATASET, None, Known(artists=artists)) == {"artist not known": "e"}


def test_what_a_file_was_given_for_is_named_even_if_no_track_is_of_it() -> None:
    found = {
        part.name: part for part in slices(DATASET, SEEN, Known(duplicates=[], artists=dict.fromkeys(TRACKS, "x")))
    }
    assert {name for name, part in found.items() if not part.given} == {TAUGHT, "not trained on"}
    assert {name: int(part.mask.sum()) for name, part in found.items() if part.given} == {
        "with a known copy": 0,
        "with a copy that was trained on": 0,
        "without a known copy": 5,
        "artist trained on": 5,
        "artist not trained on": 0,
        "artist not known": 0,
    }


def test_faulty_tracks() -> None:
    assert named(DATASET, None, Known(faults=frozenset("bz"))) == {"faulty": "b", "not faulty": "acde"}


@pytest.mark.parametrize("known", [Known(artists={"z": "x"}), Known(faults=frozenset("z")), Known(artists={})])
def test_a_file_about_other_tracks_is_refused(known: Known) -> None:
    with pytest.raises(DataError, match="is in somewhere"):
        slices(DATASET, SEEN, known)


def test_artists_are_read_from_a_table_or_from_the_index(tmp_path: Path) -> None:
    table = tmp_path / "artists.csv"
    table.write_text('\ufefftrack,artist\nblues/blues.00000.wav,"Hooker, John Lee"\nown song,Nina SIMONE\nother,\n\n')
    assert read_artists(table) == {"blues.00000": "hooker, john lee", "own song": "nina simone"}
    index = tmp_path / "artist_title.txt"
    index.write_text("blues.00000.wav ::: John Lee Hooker ::: Boom, Boom\nblues.00001.wav :::  ::: \n")
    assert read_artists(index) == {"blues.00000": "john lee hooker"}


def test_a_line_that_is_neither_is_named(tmp_path: Path) -> None:
    (tmp_path / "artists.csv").write_text("a,x\nb\n")
    with pytest.raises(DataError, match=r"line 2: expected track,artist but found 'b'"):
        read_artists(tmp_path / "artists.csv")


def test_tracks_are_read_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "faults.txt").write_text("blues/blues.00003.wav\n\nown song\n")
    assert read_tracks(tmp_path / "faults.txt") == {"blues.00003", "own song"}
    (tmp_path / "faults.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="no text"):
        read_tracks(tmp_path / "faults.txt")
