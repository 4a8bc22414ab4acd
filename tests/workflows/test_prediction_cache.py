"""Predictions are cached by the content of the song and by the model."""

import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from raygenre.model.calibration import Calibration
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.system.atomic_write import UNFINISHED
from raygenre.workflows import prediction_cache
from raygenre.workflows.predict import predict_songs, predict_unordered
from raygenre.workflows.prediction_cache import CachedWindows, PredictionCache
from tests.helpers.sounds import encode, noise

TIMES = ((0.0, 30.0), (30.0, 41.7))


def classifier(seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    return Classifier(GenreCNN(ModelConfig(genres=3, widths=(4, 4, 4))), ("blues", "jazz", "rock"))


@pytest.fixture
def cache(tmp_path: Path) -> PredictionCache:
    return PredictionCache.of(classifier(), tmp_path / "cache")


def windows(value: float = 0.25) -> CachedWindows:
    return CachedWindows(np.array([[value, 1 - value, 0]] * 2, dtype=np.float32), TIMES)


def entries(cache: PredictionCache) -> list[Path]:
    return [path for path in cache.folder.rglob("*") if path.is_file()]


def test_a_second_run_decodes_nothing(tmp_path: Path) -> None:
    song, broken = tmp_path / "song.flac", tmp_path / "broken.flac"
    song.write_bytes(encode(noise(seconds=40, seed=0), "flac", "flac"))
    broken.write_bytes(b"not music")
    model = classifier()
    cache = PredictionCache.of(model, tmp_path / "cache")
    first = list(predict_songs(model, [song, broken], jobs=1, cache=cache))
    song.rename(tmp_path / "renamed.flac")
    second = list(predict_songs(model, [tmp_path / "renamed.flac", broken], jobs=1, cache=cache))
    assert [result.is_cached for result in first + second] == [False, False, True, False]
    assert first[0].prediction == second[0].prediction
    assert len(second[0].times) == 2
    assert first[0].times == second[0].times
    assert first[1] == second[1]


def test_a_limit_on_the_duration_applies_to_cached_songs_too(tmp_path: Path) -> None:
    song = tmp_path / "song.flac"
    samples = noise(seconds=40, seed=0)
    samples[len(samples) // 2 :] = 0  # silent windows are not stored in the cache
    song.write_bytes(encode(samples, "flac", "flac"))
    model = classifier()
    cache = PredictionCache.of(model, tmp_path / "cache")
    errors = [
        result.error
        for longest_seconds in (39, 41, math.inf, 39)
        for _, result in predict_unordered(model, [song], jobs=1, cache=cache, longest_seconds=longest_seconds)
    ]
    refused = "the audio is longer than the limit of 39 s; split it into parts"
    assert errors == [refused, "", "", refused]


def test_what_determines_the_prediction_is_part_of_the_key(tmp_path: Path, cache: PredictionCache) -> None:
    song = tmp_path / "song.wav"
    song.write_bytes(b"one")
    key = cache.key(song)
    model = classifier()
    for other in (
        classifier(seed=1),
        replace(model, genres=("blues", "rock", "jazz")),
        replace(model, calibration=Calibration(2.0, 0.5)),
    ):
        assert PredictionCache.of(other, cache.folder).key(song) != key
    assert PredictionCache.of(classifier(), cache.folder).key(song) == key
    song.write_bytes(b"two")
    assert cache.key(song) != key


def test_an_image_has_no_times(cache: PredictionCache) -> None:
    cache.store("a" * 64, CachedWindows(windows().rows[:1], ()))
    stored = cache.load("a" * 64)
    assert stored
    assert stored.times == ()
    assert stored.rows.dtype == np.float32


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data[:40] + b"\0" + data[41:], lambda _: b""])
def test_a_damaged_entry_is_ignored_and_replaced(cache: PredictionCache, change) -> None:  # type: ignore[no-untyped-def]
    cache.store("a" * 64, windows())
    [path] = entries(cache)
    whole = path.read_bytes()
    path.write_bytes(change(whole))
    assert cache.load("a" * 64) is None
    cache.store("a" * 64, windows())
    assert path.read_bytes() == whole


def test_the_least_recently_used_entries_are_deleted(cache: PredictionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_cache, "MAX_ENTRIES", 3)
    keys = [f"aa{number}" for number in range(5)]
    now = time.time()
    for age, key in zip((400, 300, 200), keys[:3], strict=True):
        cache.store(key, windows())
        os.utime(cache.folder / "aa" / key[2:], (now - age, now - age))
    for name, age in ((f"{UNFINISHED}old", 7200), (f"{UNFINISHED}new", 0)):
        (cache.folder / "aa" / name).touch()
        os.utime(cache.folder / "aa" / name, (now - age, now - age))
    assert cache.load(keys[0])  # now the most recently used
    cache.store(keys[3], windows())
    cache.store(keys[4], windows())
    assert [bool(cache.load(key)) for key in keys] == [True, False, False, True, True]
    assert {path.name for path in entries(cache) if path.name.startswith(UNFINISHED)} == {f"{UNFINISHED}new"}


def test_many_writers_at_once_leave_whole_entries(cache: PredictionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_cache, "MAX_ENTRIES", 5)

    def use(number: int) -> bool:
        key = f"aa{number % 9}"
        cache.store(key, windows())
        stored = cache.load(key)
        return stored is None or stored.times == TIMES

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(200)))
    assert len(entries(cache)) <= 5


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()  # not a folder
    cache = PredictionCache.of(classifier(), tmp_path / "cache")
    cache.store("a" * 64, windows())
    assert cache.load("a" * 64) is None
