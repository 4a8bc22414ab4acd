from raygenre.data import splits
from raygenre.data.dataset import Dataset
from raygenre.data.split_summary import parts, tracks_digest


def test_each_side_has_its_tracks_per_genre_and_a_digest(tracks: Dataset) -> None:
    split = splits.random_split(tracks, seed=0, folds=1, validation=0.25, duplicates=[])
    training, validation, test = parts(tracks, split)
    assert [part.use for part in (training, validation, test)] == ["training", "validation", "test"]
    assert test.counts == {"bells": 2, "drone": 2, "storm": 2}
    assert (training.tracks, validation.tracks) == (len(split.folds[0].train), len(split.folds[0].validation))
    assert test.digest == tracks_digest(split.test, tracks.digest)
    assert len({training.digest, validation.digest, test.digest}) == 3
    assert {part.name for part in (training, validation, test)} == {tracks.source.rpartition("/")[2]}


def test_another_split_of_the_same_data_has_other_digests(tracks: Dataset) -> None:
    first, second = (splits.random_split(tracks, seed=seed, folds=1, validation=0.25, duplicates=[]) for seed in (0, 1))
    assert parts(tracks, first) == parts(tracks, first)
    assert all(a.digest != b.digest for a, b in zip(parts(tracks, first), parts(tracks, second), strict=True))


def test_each_fold_is_a_part(tracks: Dataset) -> None:
    split = splits.random_split(tracks, seed=0, folds=2, validation=0.25, duplicates=[])
    training, *validation, test = parts(tracks, split)
    assert [part.use for part in (training, *validation, test)] == ["training", "validation 1", "validation 2", "test"]
    assert training.tracks == sum(part.tracks for part in validation) == 24
    assert len({part.digest for part in (training, *validation, test)}) == 4  # MLflow identifies data by its digest


def test_equal_tracks_have_equal_digests_in_any_order() -> None:
    assert tracks_digest(("b", "a"), "data") == tracks_digest(("a", "b"), "data")
    assert tracks_digest(("a",), "data") != tracks_digest(("a", "b"), "data")
    assert tracks_digest(("a",), "data") != tracks_digest(("a",), "other data")
