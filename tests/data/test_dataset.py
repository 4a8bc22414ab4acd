"""Folders become levels once, and what is broken is left out, named and counted."""

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
from raygenre.data.dataset import MOST_BROKEN, BrokenFile, Dataset, decode, load, summary
from raygenre.data.track_files import DataError
from raygenre.spectrogram.image import read_png, write_png
from raygenre.spectrogram.levels import levels
from tests.helpers.sounds import Samples, encode, noise, tone

Levels = NDArray[np.uint8]


class Calls:
    """A progress callback that remembers; a load from the cache decodes nothing, so calls nothing."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def __call__(self, done: int, all_files: int) -> None:
        self.seen.append((done, all_files))


def picture(number: int) -> Levels:
    """Levels unlike those of any other number."""
    found = np.zeros((128, 333), dtype=np.uint8)
    found[number % 128] = 1 + number // 128
    return found


def fill(root: Path, genre: str, numbers: range) -> None:
    (root / genre).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (root / genre / f"{genre}{number:05d}.png").write_bytes(write_png(picture(number)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of blues, two of jazz."""
    fill(tmp_path / "data", "blues", range(3))
    fill(tmp_path / "data", "jazz", range(10, 12))
    return tmp_path / "data"


def song(number: int) -> Samples:
    """3 s to 33 s of sound."""
    seconds = (3, 12, 31, 33)[number]
    return tone(220 * (number + 1), seconds=seconds) + noise(seconds=seconds, seed=number, loudness=0.01)


def as_before(one: Dataset, other: Dataset) -> bool:
    return (
        np.array_equal(one.levels, other.levels)
        and np.array_equal(one.labels, other.labels)
        and (one.levels.dtype, one.labels.dtype) == (other.levels.dtype, other.labels.dtype)
        and (one.tracks, one.genres, one.source) == (other.tracks, other.genres, other.source)
        and (one.broken, one.digest) == (other.broken, other.digest)
    )


def test_pictures(folder: Path, tmp_path: Path) -> None:
    calls = Calls()
    data = load(folder, cache=tmp_path / "cache", progress=calls)
    assert data.genres == ("blues", "jazz")
    assert data.tracks == ("blues.00000", "blues.00001", "blues.00002", "jazz.00010", "jazz.00011")
    assert data.labels.dtype == np.int64
    assert data.labels.tolist() == [0, 0, 0, 1, 1]
    assert data.levels.dtype == np.uint8
    np.testing.assert_array_equal(data.levels, [picture(number) for number in (0, 1, 2, 10, 11)])
    assert data.counts == {"blues": 3, "jazz": 2}
    assert data.source == str(folder.resolve())
    assert not data.synthetic
    assert data.broken == ()
    assert calls.seen == [(done, 5) for done in range(1, 6)]


def test_pictures_and_audio_of_the_same_sounds_are_the_same_data(tmp_path: Path) -> None:
    for genre, numbers in (("blues", (0, 1)), ("jazz", (2, 3))):
        for kind in ("pictures", "audio"):
            (tmp_path / kind / genre).mkdir(parents=True)
        for number in numbers:
            shown = middle_window(song(number)).samples
            name = f"{genre}{number:05d}"
            png = write_png(levels(torch.from_numpy(shown)).numpy())
            (tmp_path / "pictures" / genre / f"{name}.png").write_bytes(png)
            wav = encode(song(number), "wav", "pcm_f32le")
            (tmp_path / "audio" / genre / f"{genre}.{number:05d}.wav").write_bytes(wav)
    pictures, audio = (load(tmp_path / kind, cache=tmp_path / "cache") for kind in ("pictures", "audio"))
    np.testing.assert_array_equal(pictures.levels, audio.levels)
    assert pictures.levels.any()
    assert pictures.tracks == audio.tracks
    assert pictures.digest == audio.digest


def test_a_song_counts_by_its_middle(tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    path.write_bytes(encode(np.concatenate([tone(300, seconds=40), tone(3000, seconds=40)]), "flac", "flac"))
    found = decode(path)
    loudest = found.argmax(axis=0)  # mel band of each column
    assert loudest[:150].max() < loudest[-150:].min()


def test_second_load_is_from_the_cache(folder: Path, tmp_path: Path) -> None:
    first = load(folder, cache=tmp_path / "new" / "cache")
    calls = Calls()
    second = load(folder, cache=tmp_path / "new" / "cache", progress=calls)
    assert calls.seen == []
    assert as_before(second, first)


def test_cache_holds_the_broken_files_too(tmp_path: Path) -> None:
    fill(tmp_path / "data", "blues", range(20))
    fill(tmp_path / "data", "jazz", range(1))
    (tmp_path / "data" / "blues" / "blues00007.png").write_bytes(b"")
    first = load(tmp_path / "data", cache=tmp_path / "cache")
    assert len(first.broken) == 1
    assert as_before(load(tmp_path / "data", cache=tmp_path / "cache"), first)


def test_nothing_but_one_file_is_left_in_the_cache(folder: Path, tmp_path: Path) -> None:
    for _ in range(2):
        load(folder, cache=tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".safetensors"]


def test_left_over_file_of_a_killed_process_does_no_harm(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = load(folder, cache=cache)
    whole = next(cache.iterdir())
    (cache / "tmpabcdefgh.tmp").write_bytes(whole.read_bytes()[:100])
    whole.unlink()
    assert as_before(load(folder, cache=cache), first)
    calls = Calls()
    assert as_before(load(folder, cache=cache, progress=calls), first)
    assert calls.seen == []


def test_touched_file_is_not_decoded_again(folder: Path, tmp_path: Path) -> None:
    load(folder, cache=tmp_path / "cache")
    os.utime(folder / "jazz" / "jazz00010.png", (0, 0))
    calls = Calls()
    load(folder, cache=tmp_path / "cache", progress=calls)
    assert calls.seen == []


def test_changed_file_is_decoded_again(folder: Path, tmp_path: Path) -> None:
    before = load(folder, cache=tmp_path / "cache")
    path = folder / "jazz" / "jazz00010.png"
    times = path.stat()
    path.write_bytes(write_png(picture(99)))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    calls = Calls()
    after = load(folder, cache=tmp_path / "cache", progress=calls)
    assert len(calls.seen) == 5
    np.testing.assert_array_equal(after.levels[3], picture(99))
    assert after.digest != before.digest


def test_moved_folder_keeps_its_cache_but_tells_its_place(folder: Path, tmp_path: Path) -> None:
    before = load(folder, cache=tmp_path / "cache")
    folder.rename(tmp_path / "moved")
    calls = Calls()
    after = load(tmp_path / "moved", cache=tmp_path / "cache", progress=calls)
    assert calls.seen == []
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
def test_two_processes_may_load_at_once(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", LOAD, str(folder), str(cache)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin
        assert other.stdout
        assert other.stdout.readline() == "ready\n"
        other.stdin.write("go\n")
        other.stdin.flush()
        here = load(folder, cache=cache)
        there = other.communicate(timeout=60)[0].split()
    assert other.returncode == 0
    assert there == [here.digest, str(len(here.tracks))] == [load(folder, cache=tmp_path / "other").digest, "5"]
    assert len(list(cache.iterdir())) == 1


def break_in_every_way(root: Path) -> None:
    """Five broken files among the blues."""
    whole = write_png(picture(0))
    (root / "blues" / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (root / "blues" / "text.png").write_text("blues")
    Image.new("RGB", (640, 480)).save(root / "blues" / "large.png")
    Image.new("RGB", (432, 288), "green").save(root / "blues" / "green.png")
    (root / "blues" / "headless.wav").write_bytes(tone(440, seconds=30).tobytes())


REASONS = {
    "blues/green.png": "colours",
    "blues/headless.wav": "FFmpeg",
    "blues/large.png": "640×480",
    "blues/text.png": "not a PNG",
    "blues/truncated.png": "damaged",
}


def test_broken_files_are_left_out_and_named(tmp_path: Path) -> None:
    root = tmp_path / "data"
    fill(root, "blues", range(95))
    fill(root, "jazz", range(100, 101))
    break_in_every_way(root)
    data = load(root, cache=tmp_path / "cache")
    assert len(data.levels) == len(data.labels) == len(data.tracks) == 96
    assert {file.path for file in data.broken} == set(REASONS)
    for file in data.broken:
        assert REASONS[file.path] in file.reason
    assert data.counts == {"blues": 95, "jazz": 1}
    np.testing.assert_array_equal(data.levels[-1], picture(100))


def test_too_many_broken_files(tmp_path: Path) -> None:
    root = tmp_path / "data"
    fill(root, "blues", range(90))
    fill(root, "jazz", range(100, 101))
    break_in_every_way(root)
    with pytest.raises(DataError, match="5 of 96 files") as error:
        load(root, cache=tmp_path / "cache")
    for path, reason in REASONS.items():
        assert any(path in line and reason in line for line in str(error.value).splitlines())
    assert not (tmp_path / "cache").exists()


def test_one_broken_file_in_twenty_is_accepted(tmp_path: Path) -> None:
    assert MOST_BROKEN == 1 / 20
    fill(tmp_path / "data", "blues", range(15))
    fill(tmp_path / "data", "jazz", range(20, 25))
    (tmp_path / "data" / "jazz" / "jazz00020.png").write_bytes(b"broken")
    assert len(load(tmp_path / "data", cache=tmp_path / "cache").broken) == 1
    (tmp_path / "data" / "blues" / "blues00000.png").unlink()
    with pytest.raises(DataError, match=r"jazz/jazz00020\.png"):
        load(tmp_path / "data", cache=tmp_path / "cache")


def test_class_with_broken_files_alone(tmp_path: Path) -> None:
    fill(tmp_path / "data", "blues", range(25))
    (tmp_path / "data" / "polka").mkdir()
    (tmp_path / "data" / "polka" / "song.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"class polka[^\n]*\n  polka/song\.png"):
        load(tmp_path / "data", cache=tmp_path / "cache")


def test_song_too_short_is_broken(tmp_path: Path) -> None:
    fill(tmp_path / "data", "blues", range(24))
    fill(tmp_path / "data", "jazz", range(30, 31))
    (tmp_path / "data" / "jazz" / "jingle.wav").write_bytes(encode(tone(440, seconds=2)))
    (file,) = load(tmp_path / "data", cache=tmp_path / "cache").broken
    assert file.path == "jazz/jingle.wav"
    assert "2.0 s" in file.reason


def test_silence_is_broken(tmp_path: Path) -> None:
    fill(tmp_path / "data", "blues", range(38))
    fill(tmp_path / "data", "jazz", range(40, 44))
    silence = np.zeros((128, 333), dtype=np.uint8)
    (tmp_path / "data" / "jazz" / "picture.png").write_bytes(write_png(silence))
    (tmp_path / "data" / "jazz" / "sound.wav").write_bytes(encode(np.zeros(4 * 22_050, dtype=np.float32)))
    broken = load(tmp_path / "data", cache=tmp_path / "cache").broken
    assert [file.path for file in broken] == ["jazz/picture.png", "jazz/sound.wav"]
    assert {file.reason for file in broken} == {"the song is silent from beginning to end"}


def test_broken_files_below_kaggles_folder_are_named_from_the_given_one(tmp_path: Path) -> None:
    fill(tmp_path / "Data" / "images_original", "blues", range(24))
    fill(tmp_path / "Data" / "images_original", "jazz", range(30, 31))
    (tmp_path / "Data" / "images_original" / "blues" / "blues00003.png").write_bytes(b"broken")
    (file,) = load(tmp_path, cache=tmp_path / "cache").broken
    assert file.path == "Data/images_original/blues/blues00003.png"


def test_summary_is_cut_short() -> None:
    broken = [BrokenFile(f"blues/{number}.png", "green") for number in range(12)]
    lines = summary(broken).splitlines()
    assert lines[0] == "  blues/0.png: green"
    assert len(lines) == 11
    assert "2 more" in lines[-1]
    assert "more" not in summary(broken[:10])


def test_unusable_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        load(tmp_path / "nowhere", cache=tmp_path / "cache")
    fill(tmp_path / "data", "blues", range(3))
    with pytest.raises(DataError, match="1 class folder"):
        load(tmp_path / "data", cache=tmp_path / "cache")


def digest_after(change: str, tmp_path: Path) -> str:
    """Digest of three pictures whose names tell nothing of their genres, after one change."""
    root = tmp_path / change
    for number, name in enumerate(("blues/one", "jazz/three", "jazz/two")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.png").write_bytes(write_png(picture(number)))
    if change == "levels":
        changed = picture(1)
        changed[127, 332] += 1
        (root / "jazz" / "three.png").write_bytes(write_png(changed))
    elif change == "genre's name":
        (root / "jazz").rename(root / "rock")
    elif change == "genre":
        (root / "jazz" / "three.png").rename(root / "blues" / "three.png")
    elif change == "track's name":
        (root / "jazz" / "two.png").rename(root / "jazz" / "zwei.png")
    elif change == "track less":
        (root / "jazz" / "two.png").unlink()
    elif change == "other bytes of the same picture":
        path = root / "jazz" / "two.png"
        Image.open(path).convert("RGB").save(path, compress_level=1)
    elif change == "notes":
        (root / "jazz" / "notes.txt").touch()
    return load(root, cache=tmp_path / "cache").digest


def test_digest_tells_data_apart(tmp_path: Path) -> None:
    changes = ["nothing", "levels", "genre's name", "genre", "track's name", "track less"]
    digests = {change: digest_after(change, tmp_path) for change in changes}
    assert len(set(digests.values())) == len(changes), digests


def test_digest_tells_nothing_else_apart(tmp_path: Path) -> None:
    changes = ["nothing", "other bytes of the same picture", "notes"]
    assert len({digest_after(change, tmp_path) for change in changes}) == 1


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Path, Calls]:
    """The embedded default, made once; the cache that it lies in, and the calls that it took."""
    cache, calls = tmp_path_factory.mktemp("cache"), Calls()
    return load(None, cache=cache, progress=calls), cache, calls


def test_each_core_decodes_with_one_torch_thread(
    tracks_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, seen = torch.get_num_threads(), set()

    def noting(path: Path) -> NDArray[np.uint8]:
        seen.add(torch.get_num_threads())
        return decode(path)

    monkeypatch.setattr("raygenre.data.dataset.decode", noting)
    load(tracks_folder, cache=tmp_path)
    assert seen == {1}
    assert torch.get_num_threads() == before


def test_embedded_default(synthetic: tuple[Dataset, Path, Calls]) -> None:
    data, _, calls = synthetic
    assert data.counts == dict.fromkeys(sorted(GENRES), 20)
    assert data.levels.shape == (200, 128, 333)
    assert len(set(data.tracks)) == 200
    assert data.tracks[:2] == ("bells.00000", "bells.00001")
    assert (data.source, data.synthetic, data.broken) == ("synthetic", True, ())
    assert calls.seen[-1] == (200, 200)
    assert len({track.tobytes() for track in data.levels}) == 200


def test_embedded_default_is_cached(synthetic: tuple[Dataset, Path, Calls]) -> None:
    data, cache, _ = synthetic
    calls = Calls()
    assert as_before(load(None, cache=cache, progress=calls), data)
    assert calls.seen == []


def test_embedded_default_goes_through_the_same_pictures(
    synthetic: tuple[Dataset, Path, Calls], tmp_path: Path
) -> None:
    data, _, _ = synthetic
    position = data.tracks.index("storm.00007")
    path = tmp_path / "storm.png"
    path.write_bytes(write_png(levels(torch.from_numpy(synthesise("storm", seed=7))).numpy()))
    np.testing.assert_array_equal(data.levels[position], read_png(path))
    np.testing.assert_array_equal(data.levels[position], decode(path))


def test_decode_tells_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "picture.PNG").write_bytes(b"text")
    with pytest.raises(spectrogram.PictureError):
        decode(tmp_path / "picture.PNG")
    with pytest.raises(FileNotFoundError):
        decode(tmp_path / "nowhere.wav")
