"""Tracks of the same recording are grouped."""

import json
from pathlib import Path

import numpy as np
import pytest

from raygenre.data.dataset import Dataset
from raygenre.data.duplicates import read_duplicates, recordings, same_recordings
from raygenre.data.track_files import DataError


def dataset(recordings: str) -> Dataset:
    """Return a dataset with one track per letter, whose id is the letter's position.

    Equal letters stand for equal levels.
    """
    levels = np.stack([np.full((128, 333), ord(letter), dtype=np.uint8) for letter in recordings])
    tracks = tuple(str(number) for number in range(len(recordings)))
    labels = np.arange(len(recordings)) % 2
    return Dataset(levels, labels, tracks, ("blues", "jazz"), "nowhere", (), "digest")


def write(folder: Path, text: str) -> Path:
    path = folder / "duplicates.txt"
    path.write_text(text)
    return path


def test_json_file_lists_pairs(tmp_path: Path) -> None:
    text = json.dumps(
        {
            "about": "which tracks are alike",
            "same recording": [{"a": "blues.00001", "b": "blues.00002", "distance": 0.1}],
            "same song": [{"a": "jazz.00001", "b": "rock.00002"}, {"a": "pop.00003", "b": "pop.00004"}],
            "none": [],
        },
        indent=1,
    )
    assert read_duplicates(write(tmp_path, f"\n {text}")) == [
        ("blues.00001", "blues.00002"),
        ("jazz.00001", "rock.00002"),
        ("pop.00003", "pop.00004"),
    ]


def test_text_file_lists_one_group_per_line(tmp_path: Path) -> None:
    text = "blues.00001 blues.00002\n\njazz.00001,jazz.00002, jazz.00003\n\t  \npop.00003\trock.00004\n"
    assert read_duplicates(write(tmp_path, text)) == [
        ("blues.00001", "blues.00002"),
        ("jazz.00001", "jazz.00002", "jazz.00003"),
        ("pop.00003", "rock.00004"),
    ]


def test_ids_with_spaces_are_separated_by_commas(tmp_path: Path) -> None:
    assert read_duplicates(write(tmp_path, "Blue Train, Blue Train (live)\n")) == [("Blue Train", "Blue Train (live)")]


def test_tracks_may_be_named_by_their_files(tmp_path: Path) -> None:
    known = [("blues.00001", "rock.00002")]
    assert read_duplicates(write(tmp_path, "blues/blues.00001.wav rock/rock.00002.au")) == known
    assert read_duplicates(write(tmp_path, '{"x": [{"a": "blues/blues.00001.png", "b": "rock.00002"}]}')) == known


def test_empty_file_has_no_groups(tmp_path: Path) -> None:
    assert read_duplicates(write(tmp_path, "")) == []


@pytest.mark.parametrize(
    "text",
    [
        '{"pairs": [',
        '{"pairs": [{"a": "x"}]}',
        '{"pairs": [["x", "y"]]}',
        '{"pairs": [1]}',
        '{"pairs": ["xy"]}',
        "{]",
        '[["x", "y"]]',
        '[{"a": "x", "b": "y"}]',
    ],
)
def test_malformed_json_is_rejected(text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"duplicates\.txt: expected an object with lists of"):
        read_duplicates(write(tmp_path, text))


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_duplicates(tmp_path / "nowhere.txt")


def test_none_ignores_equal_levels() -> None:
    assert same_recordings(dataset("aaa"), None) == [(0,), (1,), (2,)]


def test_equal_levels_are_the_same_recording() -> None:
    assert same_recordings(dataset("abacbd"), []) == [(0, 2), (1, 4), (3,), (5,)]


@pytest.mark.parametrize("place", [(0, 0), (64, 331), (127, 332)])
def test_levels_that_differ_in_one_place_are_two_recordings(place: tuple[int, int]) -> None:
    data = dataset("aa")
    data.levels[1, *place] += 1
    assert same_recordings(data, []) == [(0,), (1,)]


def test_listed_duplicates_are_the_same_recording() -> None:
    assert same_recordings(dataset("abcde"), [("4", "1"), ("2", "3")]) == [(0,), (1, 4), (2, 3)]


@pytest.mark.parametrize(
    "known",
    [
        [("0", "1"), ("1", "2"), ("2", "3")],
        [("2", "3"), ("0", "1"), ("3", "1")],
        [("3", "0", "2"), ("2", "1")],
        [("3", "2"), ("1", "0"), ("0", "3")],
    ],
)
def test_groups_with_a_common_member_are_joined(known: list[tuple[str, ...]]) -> None:
    assert same_recordings(dataset("abcde"), known) == [(0, 1, 2, 3), (4,)]


def test_listed_duplicates_join_equal_levels() -> None:
    assert same_recordings(dataset("abab"), [("0", "1")]) == [(0, 1, 2, 3)]


def test_groups_may_list_tracks_outside_the_data() -> None:
    assert same_recordings(dataset("abc"), [("9", "0", "8", "2"), ("7",), ()]) == [(0, 2), (1,)]


def test_copies_of_one_track_outside_the_data_are_joined() -> None:
    assert same_recordings(dataset("abc"), [("0", "9"), ("9", "2")]) == [(0, 2), (1,)]


def test_recordings_include_tracks_outside_the_data() -> None:
    assert recordings(dataset("aba"), [("1", "9"), ("8", "7")]) == {
        "0": {"0", "2"},
        "1": {"1", "9"},
        "2": {"0", "2"},
        "9": {"1", "9"},
        "8": {"7", "8"},
        "7": {"7", "8"},
    }


@pytest.mark.parametrize("absent", [[("9", "8")], [("blues.00000", "blues.00001"), ("7", "8", "9")]])
def test_duplicates_of_other_data_are_rejected(absent: list[tuple[str, ...]]) -> None:
    with pytest.raises(DataError, match=rf"{absent[0][0]}, is in nowhere"):
        same_recordings(dataset("abc"), absent)


def test_empty_list_of_duplicates_is_accepted() -> None:
    assert same_recordings(dataset("abc"), []) == [(0,), (1,), (2,)]


def test_every_track_is_in_exactly_one_group() -> None:
    random = np.random.default_rng(0)
    names = [str(number) for number in range(40)]
    known = [tuple(random.choice(names, 3).tolist()) for _ in range(12)]
    groups = same_recordings(dataset("".join(chr(48 + number) for number in range(40))), known)
    assert sorted(i for group in groups for i in group) == list(range(40))
    assert [group[0] for group in groups] == sorted(group[0] for group in groups)
    assert all(list(group) == sorted(group) for group in groups)
    group_of = {i: set(group) for group in groups for i in group}
    assert all(int(track) in group_of[int(first)] for first, *rest in known for track in rest)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00\x01"])
def test_binary_file_is_rejected(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "duplicates").write_bytes(data)
    with pytest.raises(DataError):
        read_duplicates(tmp_path / "duplicates")


def test_json_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "duplicates.json").write_bytes(b'\xef\xbb\xbf{"pairs": [{"a": "x", "b": "y"}]}')
    assert read_duplicates(tmp_path / "duplicates.json") == [("x", "y")]


def test_line_of_commas_names_no_track(tmp_path: Path) -> None:
    (tmp_path / "duplicates.txt").write_text(", ,\n")
    levels = np.zeros((2, 128, 333), dtype=np.uint8)
    data = Dataset(levels, np.array([0, 1]), ("a", "b"), ("blues", "jazz"), "nowhere", (), "digest")
    known = read_duplicates(tmp_path / "duplicates.txt")
    try:
        same_recordings(data, known)
    except DataError:
        return
