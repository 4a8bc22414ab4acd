from raygenre.data import splits
from raygenre.data.dataset import Dataset
from raygenre.data.split_summary import parts
from raygenre.data.split_summary import test_digest as digest_of  # its name would make it a test here


def test_each_side_has_its_tracks_per_genre_and_a_digest(tracks: Dataset) -> None:
    split = splits.random_split(tracks, seed=0, folds=1, validation=0.25, duplicates=[])
    training, validation, test = parts(tracks, split)
    assert [part.use for part in (training, validation, test)] == ["training", "validation", "test"]
    assert test.counts == {"bells": 2, "drone": 2, "storm": 2}
    assert (training.tracks, validation.tracks) == (len(split.folds[0].train), len(split.folds[0].validation))
    assert test.digest == digest_of(split.test, tracks.digest)
    assert len({training.digest, validation.digest, test.digest}) == 3
    assert {part.name for part in (training, validation, test)} == {tracks.source.rpartition("/")[2]}


def test_another_split_of_the_same_data_is_seen(tracks: Dataset) -> None:
    one, other = (splits.random_split(tracks, seed=seed, folds=1, validation=0.25, duplicates=[]) for seed in (0, 1))
    assert parts(tracks, one) == parts(tracks, one)
    assert all(a.digest != b.digest for a, b in zip(parts(tracks, one), parts(tracks, other), strict=True))


def test_folds_are_told_apart(tracks: Dataset) -> None:
    split = splits.random_split(tracks, seed=0, folds=2, validation=0.25, duplicates=[])
    found = parts(tracks, split)
    assert [part.use for part in found] == ["training", "validation 1", "validation 2", "test"]
    assert found[0].tracks == found[1].tracks + found[2].tracks == 24
    assert len({part.digest for part in found}) == 4  # as MLflow tells them apart


def test_equal_tests_have_equal_digests() -> None:
    assert digest_of(("b", "a"), "data") == digest_of(("a", "b"), "data")
    assert digest_of(("a",), "data") != digest_of(("a", "b"), "data")
    assert digest_of(("a",), "data") != digest_of(("a",), "other data")
