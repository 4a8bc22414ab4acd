"""The files of a data folder are decoded only once; unusable files are skipped and reported."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from raygenre import spectrogram
from raygenre.audio.decoding import middle_window
from raygenre.audio.synthesis import GENRES, synthesise
from raygenre.data.broken_files import MAX_BROKEN_SHARE, BrokenFile, skipped, summary
from raygenre.data.dataset import Dataset, decode, load
from raygenre.data.track_files import DataError
from raygenre.spectrogram.image import read_png, write_png
from raygenre.spectrogram.levels import levels
from tests.helpers.sounds import Samples, encode, noise, tone

Levels = NDArray[np.uint8]


class Calls:
    """A progress callback that records its calls. The callback is not called when levels are loaded from the cache."""

    def __init__(self) -> None:
        self.made: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int) -> None:
        self.made.append((done, total))


def pattern(number: int) -> Levels:
    """Return levels that are different for each number."""
    levels = np.zeros((128, 333), dtype=np.uint8)
    levels[number % 128] = 1 + number // 128
    return levels


def fill(root: Path, genre: str, numbers: range) -> None:
    (root / genre).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (root / genre / f"{genre}{number:05d}.png").write_bytes(write_png(pattern(number)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three blues images and two jazz images."""
    fill(tmp_path / "data", "blues", range(3))
    fill(tmp_path / "data", "jazz", range(10, 12))
    return tmp_path / "data"


def song(number: int) -> Samples:
    """Return one of four songs with lengths from 3 s to 33 s."""
    seconds = (3, 12, 31, 33)[number]
    return tone(220 * (number + 1), seconds=seconds) + noise(seconds=seconds, seed=number, loudness=0.01)


def equal(a: Dataset, b: Dataset) -> bool:
    return (
        np.array_equal(a.levels, b.levels)
        and np.array_equal(a.labels, b.labels)
        and (a.levels.dtype, a.labels.dtype) == (b.levels.dtype, b.labels.dtype)
        and (a.tracks, a.genres, a.source) == (b.tracks, b.genres, b.source)
        and (a.broken, a.digest) == (b.broken, b.digest)
    )


def test_images_load_as_levels_labels_and_tracks(folder: Path, tmp_path: Path) -> None:
    calls = Calls()
    data = load(folder, cache=tmp_path / "cache", progress=calls)
    assert data.genres == ("blues", "jazz")
    assert data.tracks == ("blues.00000", "blues.00001", "blues.00002", "jazz.00010", "jazz.00011")
    assert data.labels.dtype == np.int64
    assert data.labels.tolist() == [0, 0, 0, 1, 1]
    assert data.levels.dtype == np.uint8
    np.testing.assert_array_equal(data.levels, [pattern(number) for number in (0, 1, 2, 10, 11)])
    assert data.counts == {"blues": 3, "jazz": 2}
    assert data.source == str(folder.resolve())
    assert not data.synthetic
    assert data.broken == ()
    assert calls.made == [(done, 5) for done in range(1, 6)]


def test_images_and_audio_of_the_same_songs_are_equal_data(tmp_path: Path) -> None:
    for genre, numbers in (("blues", (0, 1)), ("jazz", (2, 3))):
        for kind in ("images", "audio"):
            (tmp_path / kind / genre).mkdir(parents=True)
        for number in numbers:
            middle = middle_window(song(number)).samples
            name = f"{genre}{number:05d}"
            png = write_png(levels(torch.from_numpy(middle)).numpy())
            (tmp_path / "images" / genre / f"{name}.png").write_bytes(png)
            wav = encode(song(number), "wav", "pcm_f32le")
            (tmp_path / "audio" / genre / f"{genre}.{number:05d}.wav").write_bytes(wav)
    images, audio = (load(tmp_path / kind, cache=tmp_path / "cache") for kind in ("images", "audio"))
    np.testing.assert_array_equal(images.levels, audio.levels)
    assert images.levels.any()
    assert images.tracks == audio.tracks
    assert images.digest == audio.digest


def test_long_song_is_represented_by_its_middle(tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    path.write_bytes(encode(np.concatenate([tone(300, seconds=40), tone(3000, seconds=40)]), "flac", "flac"))
    loudest = decode(path).argmax(axis=0)  # mel band of each column
    assert loudest[:150].max() < loudest[-150:].min()


def test_second_load_reads_the_cache(folder: Path, tmp_path: Path) -> None:
    first = load(folder, cache=tmp_path / "new" / "cache")
    calls = Calls()
    second = load(folder, cache=tmp_path / "new" / "cache", progress=calls)
    assert calls.made == []
    assert equal(second, first)


def test_cache_includes_the_list_of_broken_files(tmp_path: Path) -> None:
    fill(tmp_path / "data", "blues", range(20))
    fill(tmp_path / "data", "jazz", range(1))
    (tmp_path / "data" / "blues" / "blues00007.png").write_bytes(b"")
    first = load(tmp_path / "data", cache=tmp_path / "cache")
    assert len(first.broken) == 1
    assert equal(load(tmp_path / "data", cache=tmp_path / "cache"), first)


def test_cache_contains_exactly_one_file(folder: Path, tmp_path: Path) -> None:
    for _ in range(2):
        load(folder, cache=tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".safetensors"]


@pytest.mark.parametrize("size", [0, 4, 500])
def test_a_damaged_cache_file_is_replaced(size: int, folder: Path, tmp_path: Path) -> None:
    first = load(folder, cache=tmp_path / "cache")
    [stored] = (tmp_path / "cache").iterdir()
    content = stored.read_bytes()
    stored.write_bytes(content[:size])
    assert equal(load(folder, cache=tmp_path / "cache"), first)
    assert stored.stat().st_size == len(content)


def test_a_file_that_could_not_be_read_is_read_again(tmp_path: Path) -> None:
    fill(tmp_path / "data", "blues", range(20))
    fill(tmp_path / "data", "jazz", range(20, 80))
    last = tmp_path / "data" / "jazz" / "jazz00079.png"
    content = last.read_bytes()

    def disconnect(done: int, total: int) -> None:
        last.unlink(missing_ok=True)

    first = load(tmp_path / "data", cache=tmp_path / "cache", progress=disconnect)
    assert [file.path for file in first.broken] == ["jazz/jazz00079.png"]
    last.write_bytes(content)
    assert len(load(tmp_path / "data", cache=tmp_path / "cache").tracks) == 80


def test_leftover_of_a_killed_process_is_ignored(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = load(folder, cache=cache)
    stored = next(cache.iterdir())
    (cache / "tmpabcdefgh.tmp").write_bytes(stored.read_bytes()[:100])
    stored.unlink()
    assert equal(load(folder, cache=cache), first)
    calls = Calls()
    assert equal(load(folder, cache=cache, progress=calls), first)
    assert calls.made == []


def test_touched_file_is_not_decoded_again(folder: Path, tmp_path: Path) -> None:
    load(folder, cache=tmp_path / "cache")
    os.utime(folder / "jazz" / "jazz00010.png", (0, 0))
    calls = Calls()
    load(folder, cache=tmp_path / "cache", progress=calls)
    assert calls.made == []


def test_changed_file_is_decoded_again(folder: Path, tmp_path: Path) -> None:
    before = load(folder, cache=tmp_path / "cache")
    path = folder / "jazz" / "jazz00010.png"
    times = path.stat()
    path.write_bytes(write_png(pattern(99)))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    calls = Calls()
    after = load(folder, cache=tmp_path / "cache", progress=calls)
    assert len(calls.made) == 5
    np.testing.assert_array_equal(after.levels[3], pattern(99))
    assert after.digest != before.digest


def test_moved_folder_uses_the_cache_with_its_new_path(folder: Path, tmp_path: Path) -> None:
    before = load(folder, cache=tmp_path / "cache")
    folder.rename(tmp_path / "moved")
    calls = Calls()
    after = load(tmp_path / "moved", cache=tmp_path / "cache", progress=calls)
    assert calls.made == []
    assert after.source == str((tmp_path / "moved").resolve())
    assert after.digest == before.digest


LOAD = """
import sys
from pathlib import Path
from raygenre.data.dataset import load
print("ready", flush=True)
sys.stdin.readline()
data = load(Path(sys.argv[1]), cache=Path(sys.argv[2]))
print(data.digest, len(data.tracks))
"""


@pytest.mark.integration
def test_two_processes_may_load_at_the_same_time(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", LOAD, str(folder), str(cache)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        child.stdin.write("go\n")
        child.stdin.flush()
        data = load(folder, cache=cache)
        of_child = child.communicate(timeout=60)[0].split()
    assert child.returncode == 0
    assert of_child == [data.digest, str(len(data.tracks))] == [load(folder, cache=tmp_path / "other").digest, "5"]
    assert len(list(cache.iterdir())) == 1


def add_broken_files(root: Path) -> None:
    """Add five blues files, each broken in a different way."""
    valid = write_png(pattern(0))
    (root / "blues" / "truncated.png").write_bytes(valid[: len(valid) // 2])
    (root / "blues" / "text.png").write_text("blues")
    Image.new("RGB", (640, 480)).save(root / "blues" / "large.png")
    Image.new("RGB", (432, 288), "green").save(root / "blues" / "green.png")
    (root / "blues" / "headless.wav").write_bytes(tone(440, seconds=30).tobytes())


REASONS = {
    "blues/green.png": "colours",
    "blues/headless.wav": "neither a PNG nor audio",
    "blues/large.png": "640×480",
    "blues/text.png": "not a PNG",
    "blues/truncated.png": "damaged",
}


def test_broken_files_are_left_out_and_listed(tmp_path: Path) -> None:
    root = tmp_path / "data"
    fill(root, "blues", range(95))
    fill(root, "jazz", range(100, 101))
    add_broken_files(root)
    data = load(root, cache=tmp_path / "cache")
    assert len(data.levels) == len(data.labels) == len(data.tracks) == 96
    assert {file.path for file in data.broken} == set(REASONS)
    for file in data.broken:
        assert REASONS[file.path] in file.reason
    assert data.counts == {"blues": 95, "jazz": 1}
    np.testing.assert_array_equal(data.levels[-1], pattern(100))


def test_too_many_broken_files_are_rejected(tmp_path: Path) -> None:
    root = tmp_path / "data"
    fill(root, "blues", range(90))
    fill(root, "jazz", range(100, 101))
    add_broken_files(root)
    with pytest.raises(DataError, match="5 of 96 files") as error:
        load(root, cache=tmp_path / "cache")
    for path, reason in REASONS.items():
        assert any(path in line and reason in line for line in str(error.value).splitlines())
    assert not (tmp_path / "cache").exists()


def test_an_evaluation_accepts_any_share_of_broken_files(tmp_path: Path) -> None:
    root, cache = tmp_path / "data", tmp_path / "cache"
    fill(root, "blues", range(3))
    fill(root, "jazz", range(10, 11))
    add_broken_files(root)
    (root / "polka").mkdir()
    (root / "polka" / "song.wav").write_bytes(b"broken")
    os.mkfifo(root / "jazz" / "pipe.wav")
    data = load(root, cache=cache, allow_broken=True)
    assert data.counts == {"blues": 3, "jazz": 1}
    assert {file.path for file in data.broken} == {*REASONS, "jazz/pipe.wav", "polka/song.wav"}
    assert data.notes == ("no file of the class polka is usable, so the class is left out",)
    with pytest.raises(DataError, match="7 of 11 files"):  # fails even though the levels are cached
        load(root, cache=cache)
    (root / "jazz" / "jazz00010.png").unlink()
    with pytest.raises(DataError, match="no file of the class jazz"):
        load(root, cache=cache, allow_broken=True)


def test_five_percent_broken_files_are_accepted(tmp_path: Path) -> None:
    assert MAX_BROKEN_SHARE == 1 / 20
    fill(tmp_path / "data", "blues", range(15))
    fill(tmp_path / "data", "jazz", range(20, 25))
    (tmp_path / "data" / "jazz" / "jazz00020.png").write_bytes(b"broken")
    assert len(load(tmp_path / "data", cache=tmp_path / "cache").broken) == 1
    (tmp_path / "data" / "blues" / "blues00000.png").unlink()
    with pytest.raises(DataError, match=r"jazz/jazz00020\.png"):
        load(tmp_path / "data", cache=tmp_path / "cache")


def test_class_with_only_broken_files_is_rejected(tmp_path: Path) -> None:
    fill(tmp_path / "data", "blues", range(25))
    (tmp_path / "data" / "polka").mkdir()
    (tmp_path / "data" / "polka" / "song.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"class polka[^\n]*\n  polka/song\.png"):
        load(tmp_path / "data", cache=tmp_path / "cache")


def test_too_short_song_counts_as_broken(tmp_path: Path) -> None:
    fill(tmp_path / "data", "blues", range(24))
    fill(tmp_path / "data", "jazz", range(30, 31))
    (tmp_path / "data" / "jazz" / "jingle.wav").write_bytes(encode(tone(440, seconds=2)))
    (file,) = load(tmp_path / "data", cache=tmp_path / "cache").broken
    assert file.path == "jazz/jingle.wav"
    assert "2.0 s" in file.reason


def test_silent_song_counts_as_broken(tmp_path: Path) -> None:
    fill(tmp_path / "data", "blues", range(38))
    fill(tmp_path / "data", "jazz", range(40, 44))
    silence = np.zeros((128, 333), dtype=np.uint8)
    (tmp_path / "data" / "jazz" / "image.png").write_bytes(write_png(silence))
    (tmp_path / "data" / "jazz" / "sound.wav").write_bytes(encode(np.zeros(4 * 22_050, dtype=np.float32)))
    broken = load(tmp_path / "data", cache=tmp_path / "cache").broken
    assert [file.path for file in broken] == ["jazz/image.png", "jazz/sound.wav"]
    assert {file.reason for file in broken} == {"the song is silent from beginning to end"}


def test_paths_of_broken_files_start_at_the_data_folder(tmp_path: Path) -> None:
    fill(tmp_path / "Data" / "images_original", "blues", range(24))
    fill(tmp_path / "Data" / "images_original", "jazz", range(30, 31))
    (tmp_path / "Data" / "images_original" / "blues" / "blues00003.png").write_bytes(b"broken")
    (file,) = load(tmp_path, cache=tmp_path / "cache").broken
    assert file.path == "Data/images_original/blues/blues00003.png"


def test_summary_lists_at_most_ten_files() -> None:
    broken = [BrokenFile(f"blues/{number}.png", "green") for number in range(12)]
    lines = summary(broken).splitlines()
    assert lines[0] == "  blues/0.png: green"
    assert len(lines) == 11
    assert "2 more" in lines[-1]
    assert "more" not in summary(broken[:10])


def test_unusable_folders_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        load(tmp_path / "nowhere", cache=tmp_path / "cache")
    fill(tmp_path / "data", "blues", range(3))
    with pytest.raises(DataError, match="1 class folder"):
        load(tmp_path / "data", cache=tmp_path / "cache")


def digest_after(change: str, tmp_path: Path) -> str:
    """Create three images whose names do not contain their genres, apply a change, and return the dataset's digest."""
    root = tmp_path / change
    for number, name in enumerate(("blues/one", "jazz/three", "jazz/two")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.png").write_bytes(write_png(pattern(number)))
    if change == "levels":
        changed = pattern(1)
        changed[127, 332] += 1
        (root / "jazz" / "three.png").write_bytes(write_png(changed))
    elif change == "genre's name":
        (root / "jazz").rename(root / "rock")
    elif change == "genre":
        (root / "jazz" / "three.png").rename(root / "blues" / "three.png")
    elif change == "track's name":
        (root / "jazz" / "two.png").rename(root / "jazz" / "zwei.png")
    elif change == "one track fewer":
        (root / "jazz" / "two.png").unlink()
    elif change == "other encoding of the same image":
        path = root / "jazz" / "two.png"
        Image.open(path).convert("RGB").save(path, compress_level=1)
    elif change == "file that is not a track":
        (root / "jazz" / "notes.txt").touch()
    return load(root, cache=tmp_path / "cache").digest


def test_digest_depends_on_tracks_genres_and_levels(tmp_path: Path) -> None:
    changes = ["nothing", "levels", "genre's name", "genre", "track's name", "one track fewer"]
    digests = {change: digest_after(change, tmp_path) for change in changes}
    assert len(set(digests.values())) == len(changes), digests


def test_digest_depends_on_nothing_else(tmp_path: Path) -> None:
    changes = ["nothing", "other encoding of the same image", "file that is not a track"]
    assert len({digest_after(change, tmp_path) for change in changes}) == 1


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Path, Calls]:
    """The built-in synthetic data, created once, with its cache and the progress callback's calls."""
    cache, calls = tmp_path_factory.mktemp("cache"), Calls()
    return load(None, cache=cache, progress=calls), cache, calls


def test_each_worker_thread_uses_one_torch_thread(
    tracks_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, threads = torch.get_num_threads(), set()

    def record_threads(path: Path) -> NDArray[np.uint8]:
        threads.add(torch.get_num_threads())
        return decode(path)

    monkeypatch.setattr("raygenre.data.dataset.decode", record_threads)
    load(tracks_folder, cache=tmp_path)
    assert threads == {1}
    assert torch.get_num_threads() == before


def test_synthetic_data_have_20_tracks_per_genre(synthetic: tuple[Dataset, Path, Calls]) -> None:
    data, _, calls = synthetic
    assert data.counts == dict.fromkeys(sorted(GENRES), 20)
    assert data.levels.shape == (200, 128, 333)
    assert len(set(data.tracks)) == 200
    assert data.tracks[:2] == ("bells.00000", "bells.00001")
    assert (data.source, data.synthetic, data.broken) == ("synthetic", True, ())
    assert calls.made[-1] == (200, 200)
    assert len({track.tobytes() for track in data.levels}) == 200


def test_synthetic_data_are_cached(synthetic: tuple[Dataset, Path, Calls]) -> None:
    data, cache, _ = synthetic
    calls = Calls()
    assert equal(load(None, cache=cache, progress=calls), data)
    assert calls.made == []


def test_synthetic_data_equal_those_read_from_images(synthetic: tuple[Dataset, Path, Calls], tmp_path: Path) -> None:
    data, _, _ = synthetic
    position = data.tracks.index("storm.00007")
    path = tmp_path / "storm.png"
    path.write_bytes(write_png(levels(torch.from_numpy(synthesise("storm", seed=7))).numpy()))
    np.testing.assert_array_equal(data.levels[position], read_png(path))
    np.testing.assert_array_equal(data.levels[position], decode(path))


def test_decode_raises_documented_errors(tmp_path: Path) -> None:
    (tmp_path / "image.PNG").write_bytes(b"text")
    with pytest.raises(spectrogram.ImageError):
        decode(tmp_path / "image.PNG")
    with pytest.raises(FileNotFoundError):
        decode(tmp_path / "nowhere.wav")


def test_skipped_files_are_counted_in_words() -> None:
    broken = (BrokenFile("blues/a.wav", "it is empty"),)
    assert skipped(broken) == "1 unusable file was skipped"
    assert skipped(broken * 2) == "2 unusable files were skipped"
