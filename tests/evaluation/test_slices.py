from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raygenre.data.dataset import Dataset
from raygenre.data.track_files import DataError
from raygenre.evaluation.slices import TRAINED_ON, TrackFacts, make_slices, read_artists, read_tracks
from raygenre.model.seen_tracks import SeenTracks

TRACKS = ("a", "b", "c", "d", "e")
LEVELS = np.random.default_rng(0).integers(0, 256, (5, 128, 333), dtype=np.uint8)
DATASET = Dataset(LEVELS, np.zeros(5, dtype=np.int64), TRACKS, ("x", "y"), "somewhere", (), "d")
SEEN = SeenTracks.of(TRACKS, LEVELS, train=[0, 1], test=[2, 3, 4])


def members(dataset: Dataset, seen: SeenTracks | None, facts: TrackFacts) -> dict[str, str]:
    """Return, for each slice, the ids of its tracks as one string."""
    return {
        part.name: "".join(np.array(dataset.tracks)[part.mask].tolist()) for part in make_slices(dataset, seen, facts)
    }


def test_training_tracks_are_a_slice() -> None:
    assert members(DATASET, SEEN, TrackFacts()) == {TRAINED_ON: "ab", "not trained on": "cde"}
    assert members(DATASET, None, TrackFacts()) == {}


def test_copies_follow_from_groups_and_from_equal_spectrograms() -> None:
    assert members(DATASET, SEEN, TrackFacts(duplicates=[("a", "elsewhere"), ("elsewhere", "c"), ("d", "far")])) == {
        TRAINED_ON: "ab",
        "not trained on": "cde",
        "with a known copy": "acd",
        "with a copy that was trained on": "c",
        "without a known copy": "be",
    }
    levels = LEVELS.copy()
    levels[4] = levels[3]
    assert members(replace(DATASET, levels=levels), None, TrackFacts()) == {
        "with a known copy": "de",
        "without a known copy": "abc",
    }


def test_artists_of_missing_training_tracks_count() -> None:
    seen = SeenTracks(train={"a": "?", "gone": "?"}, test={})
    artists = {"a": "x", "b": "x", "c": "y", "d": "z", "gone": "z"}
    slices = members(DATASET, seen, TrackFacts(artists=artists))
    assert slices["artist trained on"] == "abd"
    assert slices["artist not trained on"] == "c"
    assert slices["artist not known"] == "e"
    assert members(DATASET, None, TrackFacts(artists=artists)) == {"artist not known": "e"}


def test_given_slices_are_kept_even_if_they_are_empty() -> None:
    slices = {
        part.name: part
        for part in make_slices(DATASET, SEEN, TrackFacts(duplicates=[], artists=dict.fromkeys(TRACKS, "x")))
    }
    assert {name for name, part in slices.items() if not part.given} == {TRAINED_ON, "not trained on"}
    assert {name: int(part.mask.sum()) for name, part in slices.items() if part.given} == {
        "with a known copy": 0,
        "with a copy that was trained on": 0,
        "without a known copy": 5,
        "artist trained on": 5,
        "artist not trained on": 0,
        "artist not known": 0,
    }


def test_faulty_tracks() -> None:
    assert members(DATASET, None, TrackFacts(faults=frozenset("bz"))) == {"faulty": "b", "not faulty": "acde"}


@pytest.mark.parametrize(
    "facts", [TrackFacts(artists={"z": "x"}), TrackFacts(faults=frozenset("z")), TrackFacts(artists={})]
)
def test_a_file_about_other_tracks_is_rejected(facts: TrackFacts) -> None:
    with pytest.raises(DataError, match="is in somewhere"):
        make_slices(DATASET, SEEN, facts)


def test_artists_are_read_from_csv_or_from_sturms_index(tmp_path: Path) -> None:
    table = tmp_path / "artists.csv"
    table.write_text('\ufefftrack,artist\nblues/blues.00000.wav,"Hooker, John Lee"\nown song,Nina SIMONE\nother,\n\n')
    assert read_artists(table) == {"blues.00000": "hooker, john lee", "own song": "nina simone"}
    index = tmp_path / "artist_title.txt"
    index.write_text("blues.00000.wav ::: John Lee Hooker ::: Boom, Boom\nblues.00001.wav :::  ::: \n")
    assert read_artists(index) == {"blues.00000": "john lee hooker"}


def test_an_invalid_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "artists.csv").write_text("a,x\nb\n")
    with pytest.raises(DataError, match=r"line 2: expected track,artist but found 'b'"):
        read_artists(tmp_path / "artists.csv")


def test_tracks_are_read_one_per_line(tmp_path: Path) -> None:
    (tmp_path / "faults.txt").write_text("blues/blues.00003.wav\n\nown song\n")
    assert read_tracks(tmp_path / "faults.txt") == {"blues.00003", "own song"}
    (tmp_path / "faults.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8 text"):
        read_tracks(tmp_path / "faults.txt")
