"""Model inputs are computed once per track, cached by content, and never based on images."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soxr

from raygenre.audio.synthesis import synthesise
from raygenre.data import inputs as module
from raygenre.data.dataset import Dataset, load
from raygenre.data.inputs import images, inputs_of
from raygenre.data.track_files import DataError
from raygenre.inputs.features import Features
from raygenre.inputs.levels import LEVELS
from tests.helpers.musicnn import small_features


class Counter:
    """A progress callback that counts the computed tracks."""

    def __init__(self, *, stop_after: int = 0) -> None:
        self.done = 0
        self.total = 0
        self._stop_after = stop_after

    def __call__(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        if done == self._stop_after:
            raise KeyboardInterrupt


@pytest.fixture
def fresh(songs: Dataset, tmp_path: Path) -> Dataset:
    """Return the songs as a dataset with an empty cache."""
    return replace(songs, cache=tmp_path / "cache")


def cached_files(tracks: Dataset) -> list[Path]:
    assert tracks.cache
    return sorted(path for path in (tracks.cache / "inputs").rglob("*") if path.is_file())


def test_levels_are_those_of_the_data_set(songs: Dataset) -> None:
    assert inputs_of(songs, LEVELS) is songs.levels
    assert np.array_equal(inputs_of(songs, LEVELS, [3, 1]), songs.levels[[3, 1]])


def test_features_are_computed_once_and_in_the_asked_order(fresh: Dataset, features: Features) -> None:
    first = Counter()
    some = inputs_of(fresh, features, [4, 2], progress=first)
    assert (first.done, first.total) == (2, 2)
    assert np.array_equal(some[0], features.middle(fresh.files[4][0]))
    mask = np.zeros(len(fresh.tracks), dtype=np.bool_)
    mask[[2, 4, 7]] = True
    second = Counter()
    three = inputs_of(fresh, features, mask, progress=second)
    assert (second.done, second.total) == (1, 1)
    assert np.array_equal(three[:2], some[::-1])
    third = Counter()
    assert np.array_equal(inputs_of(fresh, features, mask, progress=third), three)
    assert third.total == 0
    assert len(cached_files(fresh)) == 3


def test_an_interrupted_call_is_continued(fresh: Dataset, features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raygenre.data.threads.cores", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        inputs_of(fresh, features, range(6), progress=Counter(stop_after=2))
    stored = len(cached_files(fresh))
    assert 2 <= stored < 6, "everything was computed although the call was interrupted"
    rest = Counter()
    inputs_of(fresh, features, range(6), progress=rest)
    assert rest.total == 6 - stored


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: b"PK\x03\x04" + content[4:],
    ],
    ids=["empty", "short", "a bit", "an archive"],
)
def test_a_damaged_cache_file_is_written_again(
    fresh: Dataset, features: Features, damage: Callable[[bytes], bytes]
) -> None:
    before = inputs_of(fresh, features, [0])
    [path] = cached_files(fresh)
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert np.array_equal(inputs_of(fresh, features, [0]), before)
    assert path.read_bytes() == content


def test_content_names_a_cache_file(fresh: Dataset, features: Features, tmp_path: Path) -> None:
    expected = inputs_of(fresh, features, [0])
    moved = tmp_path / "moved"
    shutil.copytree(fresh.source, moved)
    (moved / "bells" / "bells00.wav").rename(moved / "bells" / "another name.wav")
    tracks = replace(load(moved, cache=tmp_path / "levels"), cache=fresh.cache)
    index = tracks.tracks.index("another name")
    progress = Counter()
    assert np.array_equal(inputs_of(tracks, features, [index], progress=progress), expected)
    assert progress.total == 0
    other = small_features(tmp_path / "other", seed=1)
    inputs_of(tracks, other, [index], progress=progress)
    assert progress.total == 1, "features of another network were used"


def test_a_cache_that_cannot_be_written_is_done_without(fresh: Dataset, features: Features, tmp_path: Path) -> None:
    assert fresh.cache
    fresh.cache.mkdir()
    (fresh.cache / "inputs").write_text("a file where a folder should be")
    values = inputs_of(fresh, features, [0])
    assert np.array_equal(inputs_of(replace(fresh, cache=None), features, [0]), values)


def test_images_are_counted_and_named(tracks: Dataset, songs: Dataset, features: Features) -> None:
    assert (images(tracks), images(songs)) == (30, 0)
    with pytest.raises(DataError, match=r"2 of 2 tracks in .* are spectrogram images, .*; use the recordings"):
        inputs_of(tracks, features, [0, 1])
    mixed = replace(songs, files=(tracks.files[0], *songs.files[1:]))
    assert images(mixed) == 1
    inputs_of(mixed, features, [1])  # works because track 0, the image, is not requested


def test_a_file_that_is_gone_is_named(fresh: Dataset, features: Features, tmp_path: Path) -> None:
    gone = replace(fresh, files=((tmp_path / "gone.wav", "0" * 64), *fresh.files[1:]))
    with pytest.raises(DataError, match=r"gone\.wav: No such file or directory"):
        inputs_of(gone, features, [0])


def test_synthetic_tracks_are_drawn_again(songs: Dataset, features: Features, tmp_path: Path) -> None:
    synthetic = replace(
        songs,
        levels=songs.levels[:2],
        labels=np.array([0, 2]),
        tracks=("bells.00000", "storm.00003"),
        source="synthetic",
        files=(),
        cache=tmp_path,
    )
    values = inputs_of(synthetic, features)
    samples = soxr.resample(synthesise("storm", seed=3), 22_050, features.sample_rate)
    assert values[1] == pytest.approx(features.from_blocks([samples]).windows[0], abs=1e-6)
    assert len(cached_files(synthetic)) == 2
    assert module.images(synthetic) == 0
