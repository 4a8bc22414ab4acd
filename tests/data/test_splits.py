"""Random and predefined splits are stratified, reproducible and free of leaks."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raygenre.data.dataset import Dataset
from raygenre.data.splits import Fold, Split, SplitError, given_split, indices, random_split
from raygenre.data.track_files import DataError

GTZAN = {
    "blues": 100,
    "classical": 100,
    "country": 100,
    "disco": 100,
    "hiphop": 100,
    "jazz": 99,
    "metal": 100,
    "pop": 100,
    "reggae": 100,
    "rock": 100,
}


def fake(counts: Mapping[str, int]) -> Dataset:
    """Return a dataset whose levels are all 0, except that the first two pixels hold the track's number."""
    genres = tuple(sorted(counts))
    labels = np.repeat(np.arange(len(genres)), [counts[genre] for genre in genres])
    tracks = tuple(f"{genre}.{number:05d}" for genre in genres for number in range(counts[genre]))
    levels = np.zeros((len(tracks), 128, 333), dtype=np.uint8)
    levels[:, 0, 0], levels[:, 0, 1] = np.divmod(np.arange(len(tracks)), 256)
    return Dataset(levels, labels, tracks, genres, "nowhere", (), "digest")


@pytest.fixture(scope="module")
def gtzan() -> Dataset:
    return fake(GTZAN)


SMALL = fake({"blues": 25, "jazz": 24, "rock": 26})


def counts(tracks: Iterable[str]) -> dict[str, int]:
    """Return the number of tracks per genre."""
    return dict(sorted(Counter(track.split(".")[0] for track in tracks).items()))


def sides(split: Split) -> list[list[set[str]]]:
    """Return the training, validation and test tracks of each fold."""
    return [[set(fold.train), set(fold.validation), set(split.test)] for fold in split.folds]


def leaks(split: Split, recordings: Iterable[Sequence[str]]) -> list[Sequence[str]]:
    """Return the recordings with tracks in more than one subset of a fold."""
    return [
        recording
        for recording in recordings
        for fold in sides(split)
        if sum(bool(side & set(recording)) for side in fold) > 1
    ]


def hold_out(dataset: Dataset, *, seed: int, duplicates: Iterable[Sequence[str]] | None = ()) -> Split:
    return random_split(dataset, seed=seed, folds=1, validation=0.05, duplicates=duplicates)


def test_hold_out_of_gtzan_has_the_documented_sizes(gtzan: Dataset) -> None:
    split = hold_out(gtzan, seed=0)
    assert split.kind == "random"
    assert split.seed == 0
    assert counts(split.test) == {genre: 19 if genre == "jazz" else 20 for genre in GTZAN}
    assert counts(split.train) == dict.fromkeys(GTZAN, 80)
    (fold,) = split.folds
    assert counts(fold.validation) == dict.fromkeys(GTZAN, 4)
    assert counts(fold.train) == dict.fromkeys(GTZAN, 76)
    assert {*fold.train, *fold.validation, *split.test} == set(gtzan.tracks)
    assert (len(split.test), len(split.train)) == (199, 800)
    assert (split.left_out, split.missing) == ((), ())


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
def test_folds_of_gtzan_are_stratified_and_disjoint(gtzan: Dataset, folds: int) -> None:
    split = random_split(gtzan, seed=1, folds=folds, validation=0.05, duplicates=[])
    assert len(split.folds) == folds
    assert len(split.test) == 199
    assert len(split.train) == 800
    validation = [track for fold in split.folds for track in fold.validation]
    assert sorted(validation) == sorted(split.train)
    for fold in split.folds:
        assert sorted((*fold.train, *fold.validation)) == sorted(split.train)
        assert set(fold.validation).isdisjoint(fold.train)
        assert all(abs(n - 80 / folds) < 1 for n in counts(fold.validation).values())


@pytest.mark.parametrize("folds", [1, 5])
def test_seed_determines_the_split(folds: int) -> None:
    drawn = [random_split(SMALL, seed=seed, folds=folds, validation=0.1, duplicates=[]) for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1]
    assert len({split.test for split in drawn}) == 3
    assert len({split.folds[0].validation for split in drawn}) == 3


def test_test_tracks_do_not_depend_on_folds_or_validation() -> None:
    tests = {
        random_split(SMALL, seed=3, folds=folds, validation=validation, duplicates=[]).test
        for folds in (1, 2, 5)
        for validation in (0.05, 0.3)
    }
    assert len(tests) == 1


@pytest.mark.parametrize(("validation", "tracks"), [(0.001, 3), (0.05, 3), (0.1, 6), (0.25, 15), (0.5, 30)])
def test_validation_share_is_rounded_to_tracks(validation: float, tracks: int) -> None:
    split = random_split(SMALL, seed=0, folds=1, validation=validation, duplicates=[])
    assert len(split.folds[0].validation) == tracks


DUPLICATES = [
    ("blues.00000", "blues.00001", "blues.00002"),
    ("blues.00003", "jazz.00003"),
    ("jazz.00004", "jazz.00005"),
    ("jazz.00005", "rock.00005"),
    ("rock.00006", "rock.00007", "pop.99999"),
    ("rock.00008", "rock.00009"),
]
JOINED = ("jazz.00004", "jazz.00005", "rock.00005")
EQUAL = [("blues.00010", "blues.00011"), ("jazz.00012", "rock.00012", "rock.00013")]


def with_equal_levels() -> Dataset:
    levels = SMALL.levels.copy()
    for first, *copies in EQUAL:
        for copy in copies:
            levels[SMALL.tracks.index(copy)] = levels[SMALL.tracks.index(first)]
    return replace(SMALL, levels=levels)


WITH_COPIES = with_equal_levels()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), folds=st.integers(1, 6))
def test_duplicates_stay_on_one_side(seed: int, folds: int) -> None:
    split = random_split(WITH_COPIES, seed=seed, folds=folds, validation=0.2, duplicates=DUPLICATES)
    assert leaks(split, [*DUPLICATES, JOINED, *EQUAL]) == []
    assert counts(split.test) == {"blues": 5, "jazz": 4, "rock": 5}
    assert {*split.train, *split.test} == set(WITH_COPIES.tracks)
    for train, validation, test in sides(split):
        assert len(train) + len(validation) + len(test) == len(WITH_COPIES.tracks)
    if folds > 1:
        assert sorted(track for fold in split.folds for track in fold.validation) == sorted(split.train)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), folds=st.integers(2, 6))
def test_folds_with_duplicates_are_nearly_stratified(seed: int, folds: int) -> None:
    split = random_split(WITH_COPIES, seed=seed, folds=folds, validation=0.2, duplicates=DUPLICATES)
    total = counts(split.train)
    for fold in split.folds:  # a recording with three tracks may not fit into a small fold
        assert all(abs(n - total[genre] / folds) < 2 for genre, n in counts(fold.validation).items())


def test_equal_levels_stay_on_one_side_of_gtzan(gtzan: Dataset) -> None:
    levels = gtzan.levels.copy()
    levels[1::10] = levels[::10]
    pairs = list(zip(gtzan.tracks[::10], gtzan.tracks[1::10], strict=True))
    data = replace(gtzan, levels=levels)
    split = hold_out(data, seed=0)
    assert leaks(split, pairs) == []
    assert len(split.test) == 199
    assert len(split.folds[0].validation) == 40
    divided = random_split(data, seed=0, folds=5, validation=0.05, duplicates=[])
    assert leaks(divided, pairs) == []
    assert [counts(fold.validation) for fold in divided.folds] == [dict.fromkeys(GTZAN, 16)] * 5


def test_none_ignores_duplicates() -> None:
    ignoring = [hold_out(WITH_COPIES, seed=seed, duplicates=None) for seed in range(10)]
    assert any(leaks(split, EQUAL) for split in ignoring)
    assert ignoring == [hold_out(SMALL, seed=seed) for seed in range(10)]


def test_duplicates_outside_the_data_change_nothing() -> None:
    with_absent = hold_out(SMALL, seed=0, duplicates=[("pop.00000", "pop.00001"), ("blues.00000", "pop.00002")])
    assert with_absent == hold_out(SMALL, seed=0)


@pytest.mark.parametrize("folds", [1, 3])
def test_json_round_trip(folds: int) -> None:
    split = random_split(SMALL, seed=9, folds=folds, validation=0.1, duplicates=[])
    split = replace(split, left_out=("blues.00001",), missing=("jazz.99999", "rock.99999"))
    assert Split.from_json(split.to_json()) == split
    assert hash(Split.from_json(split.to_json())) == hash(split)


def test_train_includes_the_validation_tracks() -> None:
    split = Split("lists", 0, ("c",), (Fold(("b", "d"), ("a",)), Fold(("a",), ("b", "d"))))
    assert split.train == ("a", "b", "d")


@pytest.mark.parametrize("folds", [0, -1])
def test_folds_out_of_range_are_rejected(folds: int) -> None:
    with pytest.raises(SplitError, match=f"folds must be at least 1, not {folds}"):
        random_split(SMALL, seed=0, folds=folds, validation=0.1, duplicates=[])


@pytest.mark.parametrize("validation", [0.0, 1.0, -0.1, 5.0, float("nan")])
def test_validation_out_of_range_is_rejected(validation: float) -> None:
    with pytest.raises(SplitError, match="validation must be between 0 and 1"):
        random_split(SMALL, seed=0, folds=1, validation=validation, duplicates=[])


@pytest.mark.parametrize(
    ("few", "folds", "duplicates"),
    [
        (4, 1, []),
        (1, 1, []),
        (6, 6, []),
        (8, 1, [[f"jazz.{number:05d}" for number in range(8)]]),
    ],
)
def test_too_few_recordings_are_rejected(few: int, folds: int, duplicates: Sequence[Sequence[str]]) -> None:
    data = fake({"blues": 40, "jazz": few})
    with pytest.raises(DataError, match=r"contains no tracks of jazz"):
        random_split(data, seed=0, folds=folds, validation=0.1, duplicates=duplicates)


def test_five_recordings_are_enough() -> None:
    split = hold_out(fake({"blues": 5, "jazz": 5}), seed=0)
    assert counts(split.test) == counts(split.folds[0].validation) == {"blues": 1, "jazz": 1}
    assert counts(split.folds[0].train) == {"blues": 3, "jazz": 3}


def test_indices_are_positions_in_the_data_set() -> None:
    positions = indices(SMALL, ["jazz.00001", "blues.00000", "rock.00025"])
    assert positions.dtype == np.int64
    assert positions.tolist() == [26, 0, 74]
    with pytest.raises(KeyError, match=r"jazz\.99999"):
        indices(SMALL, ["jazz.00001", "jazz.99999"])


def write_lists(
    folder: Path, *, train: Iterable[str], valid: Iterable[str] | None, test: Iterable[str], ending: str = "_filtered"
) -> Path:
    for name, tracks in (("train", train), ("valid", valid), ("test", test)):
        if tracks is not None:
            (folder / f"{name}{ending}.txt").write_text("\n".join(tracks) + "\n")
    return folder


def ids(first: int, last: int) -> list[str]:
    """Return the ids with the numbers `range(first, last)` in each genre of SMALL."""
    return [f"{genre}.{number:05d}" for genre in SMALL.genres for number in range(first, last)]


def files(tracks: Iterable[str], suffix: str = ".wav") -> list[str]:
    return [f"{track.split('.')[0]}/{track}{suffix}" for track in tracks]


def given_lists(lists: Path, *, folds: int = 1, duplicates: Iterable[Sequence[str]] | None = ()) -> Split:
    return given_split(SMALL, lists, seed=0, folds=folds, validation=0.1, duplicates=duplicates)


@pytest.mark.parametrize("ending", ["", "_filtered", "-v1"])
def test_lists_of_ids_are_used_as_given(ending: str, tmp_path: Path) -> None:
    write_lists(tmp_path, train=ids(0, 14), valid=ids(14, 18), test=ids(18, 24), ending=ending)
    split = given_lists(tmp_path)
    assert split.kind == "lists"
    assert split.folds == (Fold(tuple(sorted(ids(0, 14))), tuple(sorted(ids(14, 18)))),)
    assert split.test == tuple(sorted(ids(18, 24)))
    assert split.left_out == ("blues.00024", "rock.00024", "rock.00025")
    assert split.missing == ()


@pytest.mark.parametrize("suffix", [".wav", ".au", ".png"])
def test_lists_may_name_files(suffix: str, tmp_path: Path) -> None:
    for name in ("ids", "files"):
        (tmp_path / name).mkdir()
    write_lists(tmp_path / "ids", train=ids(0, 14), valid=ids(14, 18), test=ids(18, 24))
    train, valid, test = (files(ids(*ends), suffix) for ends in ((0, 14), (14, 18), (18, 24)))
    write_lists(tmp_path / "files", train=["", *train, "  "], valid=valid, test=[f"{line}  " for line in test])
    assert given_lists(tmp_path / "files") == given_lists(tmp_path / "ids")


def test_lists_may_name_ids_with_a_slash(tmp_path: Path) -> None:
    data = replace(
        fake({"jazz": 10, "rock": 10}), tracks=tuple(f"{g}/{n}.mp3" for g in ("jazz", "rock") for n in range(10))
    )
    names = [[f"{genre}/{n}.mp3" for genre in ("jazz", "rock") for n in part] for part in ((0, 1), (2, 3), (4, 5))]
    write_lists(tmp_path, train=names[0], valid=names[1], test=names[2])
    split = given_split(data, tmp_path, seed=0, folds=1, validation=0.1, duplicates=[])
    assert split.test == ("jazz/4.mp3", "jazz/5.mp3", "rock/4.mp3", "rock/5.mp3")


def test_missing_validation_list_is_drawn_from_training(tmp_path: Path) -> None:
    write_lists(tmp_path, train=ids(0, 18), valid=None, test=ids(18, 24))
    split = given_lists(tmp_path)
    assert counts(split.folds[0].validation) == {"blues": 2, "jazz": 2, "rock": 2}
    assert split.train == tuple(sorted(ids(0, 18)))
    assert split == given_lists(tmp_path)


def test_folds_divide_the_training_and_validation_lists(tmp_path: Path) -> None:
    write_lists(tmp_path, train=ids(0, 14), valid=ids(14, 18), test=ids(18, 24))
    split = given_lists(tmp_path, folds=3)
    assert split.test == tuple(sorted(ids(18, 24)))
    assert sorted(track for fold in split.folds for track in fold.validation) == sorted(ids(0, 18))
    for fold in split.folds:
        assert counts(fold.validation) == {"blues": 6, "jazz": 6, "rock": 6}
        assert counts(fold.train) == {"blues": 12, "jazz": 12, "rock": 12}


@pytest.mark.parametrize("pair", [("train", "valid"), ("train", "test"), ("valid", "test")])
def test_overlapping_lists_are_rejected(pair: tuple[str, str], tmp_path: Path) -> None:
    parts = {"train": ids(0, 14), "valid": ids(14, 18), "test": ids(18, 24)}
    parts[pair[1]] = [*parts[pair[1]], *files(parts[pair[0]][:1])]
    write_lists(tmp_path, train=parts["train"], valid=parts["valid"], test=parts["test"])
    with pytest.raises(DataError, match=r"blues\.\d+ is in the (\w+) list and in the (\w+) list") as error:
        given_lists(tmp_path)
    assert all(f"in the {name} list" in str(error.value) for name in pair)


def test_few_missing_tracks_are_recorded(tmp_path: Path) -> None:
    write_lists(tmp_path, train=[*ids(0, 14), "jazz.00054", "rock.99999"], valid=ids(14, 18), test=ids(18, 24))
    split = given_lists(tmp_path)
    assert split.missing == ("jazz.00054", "rock.99999")
    assert split.folds[0].train == tuple(sorted(ids(0, 14)))


def test_many_missing_tracks_are_rejected(tmp_path: Path) -> None:
    absent = [f"pop.{number:05d}" for number in range(3)]
    write_lists(tmp_path, train=[*ids(0, 14), *absent], valid=ids(14, 18), test=ids(18, 24))
    with pytest.raises(DataError, match=r"3 of the 45 tracks of the train list .* pop\.00000"):
        given_lists(tmp_path)


def test_share_of_missing_tracks_is_checked_per_list(tmp_path: Path) -> None:
    write_lists(tmp_path, train=ids(0, 14), valid=[*ids(14, 18), "pop.00000"], test=ids(18, 24))
    with pytest.raises(DataError, match="1 of the 13 tracks of the valid list"):
        given_lists(tmp_path)


DOUBLES = [
    ("blues.00000", "blues.00018"),  # training and test
    ("jazz.00001", "jazz.00015"),  # training and validation
    ("rock.00016", "rock.00020"),  # validation and test
    ("rock.00002", "rock.00017", "rock.00021"),  # all three
    ("rock.00003", "rock.00004"),  # training only
    ("rock.00005", "rock.00025"),  # training and no list
]


def test_duplicates_across_given_lists_are_left_out(tmp_path: Path) -> None:
    write_lists(tmp_path, train=ids(0, 14), valid=ids(14, 18), test=ids(18, 24))
    split = given_lists(tmp_path, duplicates=DOUBLES)
    copies = {"blues.00000", "jazz.00001", "rock.00016", "rock.00002", "rock.00017"}
    unlisted = {"blues.00024", "rock.00024", "rock.00025"}
    assert split.test == tuple(sorted(ids(18, 24)))
    assert split.folds[0].validation == tuple(sorted({*ids(14, 18)} - copies))
    assert split.folds[0].train == tuple(sorted({*ids(0, 14)} - copies))
    assert set(split.left_out) == copies | unlisted
    assert leaks(split, DOUBLES) == []


def test_folds_of_given_lists_are_free_of_duplicates(tmp_path: Path) -> None:
    write_lists(tmp_path, train=ids(0, 14), valid=ids(14, 18), test=ids(18, 24))
    for seed in range(10):
        split = given_split(SMALL, tmp_path, seed=seed, folds=4, validation=0.1, duplicates=DOUBLES)
        assert split.test == tuple(sorted(ids(18, 24)))
        assert leaks(split, DOUBLES) == []
        assert {*split.train, *split.test, *split.left_out} == set(SMALL.tracks)


def test_none_keeps_duplicates_of_given_lists(tmp_path: Path) -> None:
    write_lists(tmp_path, train=ids(0, 14), valid=ids(14, 18), test=ids(18, 24))
    assert given_split(WITH_COPIES, tmp_path, seed=0, folds=1, validation=0.1, duplicates=None).train == tuple(
        sorted(ids(0, 18))
    )


@pytest.mark.parametrize("name", ["train", "test"])
def test_missing_list_is_rejected(name: str, tmp_path: Path) -> None:
    write_lists(tmp_path, train=ids(0, 14), valid=ids(14, 18), test=ids(18, 24))
    (tmp_path / f"{name}_filtered.txt").unlink()
    with pytest.raises(DataError, match=rf"exactly one file {name}\*\.txt; found: none"):
        given_lists(tmp_path)


@pytest.mark.parametrize("name", ["train", "valid", "test"])
def test_two_files_for_one_list_are_rejected(name: str, tmp_path: Path) -> None:
    write_lists(tmp_path, train=ids(0, 14), valid=ids(14, 18), test=ids(18, 24))
    (tmp_path / f"{name}.txt").touch()
    with pytest.raises(DataError, match=rf"{name}\*\.txt; found: {name}\.txt, {name}_filtered\.txt"):
        given_lists(tmp_path)


def test_list_that_is_not_utf_8_is_rejected(tmp_path: Path) -> None:
    write_lists(tmp_path, train=ids(0, 14), valid=ids(14, 18), test=ids(18, 24))
    (tmp_path / "valid_filtered.txt").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(DataError, match=r"valid_filtered\.txt is not UTF-8 text"):
        given_lists(tmp_path)


def test_list_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    write_lists(tmp_path, train=ids(0, 14), valid=ids(14, 18), test=ids(18, 24))
    (tmp_path / "test_filtered.txt").write_text("\n".join(ids(18, 24)), encoding="utf-8-sig")
    assert given_lists(tmp_path).test == tuple(sorted(ids(18, 24)))


@pytest.mark.parametrize("side", ["train", "valid", "test"])
def test_list_without_a_genre_is_rejected(side: str, tmp_path: Path) -> None:
    parts = {"train": ids(0, 14), "valid": ids(14, 18), "test": ids(18, 24)}
    parts[side] = [track for track in parts[side] if not track.startswith("rock")]
    write_lists(tmp_path, train=parts["train"], valid=parts["valid"], test=parts["test"])
    with pytest.raises(DataError, match="no tracks of rock"):
        given_lists(tmp_path)
