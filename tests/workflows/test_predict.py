import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mutagen.flac import FLAC

from raygenre.inputs.levels import LEVELS
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.spectrogram.image import write_png
from raygenre.workflows.predict import predict_songs, start_order
from raygenre.workflows.sources import expand_sources, relative_name
from tests.helpers.sounds import encode, noise, tone

GENRES = ("blues", "jazz", "rock")


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(GenreCNN(ModelConfig(genres=3, widths=(4, 4, 4))), GENRES)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("music")
    (root / "album").mkdir()
    (root / ".trash").mkdir()
    (root / "a.wav").write_bytes(encode(tone(440, seconds=3)))
    (root / "album" / "b.flac").write_bytes(encode(noise(seconds=62, seed=0), "flac", "flac"))
    (root / ".trash" / "c.wav").write_bytes(encode(tone(440, seconds=3)))
    (root / "drawn.png").write_bytes(write_png(np.full((128, 333), 9, dtype=np.uint8)))
    (root / "cover.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    (root / "note.mp3").write_text("not music")
    (root / "list.m3u").write_text("#EXTM3U\nalbum/b.flac\nhttp://host/radio.mp3\n./a.wav\n")
    return root


def test_sources_expand_to_each_song_once(music: Path) -> None:
    files = expand_sources([music / "list.m3u", music / "a.wav", music, music / "missing.wav"])
    names = [path.relative_to(music).as_posix() for path in files.songs]
    assert names == ["album/b.flac", "a.wav", "drawn.png", "note.mp3", "missing.wav"]
    [(entry, _)] = files.skipped
    assert entry == f"{music / 'list.m3u'}: http://host/radio.mp3"
    assert not files.failed


def test_a_link_to_a_song_is_the_same_song(music: Path, tmp_path: Path) -> None:
    (tmp_path / "link.wav").symlink_to(music / "a.wav")
    assert expand_sources([music / "a.wav", tmp_path / "link.wav"]).songs == (music / "a.wav",)


@pytest.mark.parametrize("entries", ["", "#EXTM3U\n", "http://host/radio.mp3\n"])
def test_a_playlist_without_files_is_reported(tmp_path: Path, entries: str) -> None:
    (tmp_path / "list.m3u").write_text(entries)
    files = expand_sources([tmp_path / "list.m3u"])
    assert files.failed == ((str(tmp_path / "list.m3u"), "the playlist names no file on this machine"),)


def test_sources_without_songs_are_reported(tmp_path: Path) -> None:
    files = expand_sources([tmp_path, tmp_path / "none.m3u8"])
    assert files.failed == (
        (str(tmp_path), "the folder contains no audio file"),
        (str(tmp_path / "none.m3u8"), "No such file or directory"),
    )


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_match_the_library_in_order_of_the_songs(classifier: Classifier, music: Path, jobs: int) -> None:
    songs = [music / name for name in ("album/b.flac", "note.mp3", "a.wav", "none.wav", "drawn.png")]
    results = list(predict_songs(classifier, songs, jobs=jobs))
    assert [result.path for result in results] == songs
    for result in (results[0], results[2], results[4]):
        song = LEVELS.read(result.path)
        expected = classifier.predict(song)
        assert result.prediction is not None
        assert result.prediction.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
        assert len(result.prediction.windows) == len(song.windows)
        assert result.times == song.times
        assert not result.error
    assert "neither a PNG nor audio" in results[1].error
    assert results[3].error == "No such file or directory"


def test_big_files_are_started_first_and_others_in_order(tmp_path: Path) -> None:
    songs = [tmp_path / str(number) for number in range(40)]
    for number, song in enumerate(songs):
        song.write_bytes(bytes({20: 900, 39: 1000}.get(number, number % 3 + 1)))
    songs.append(tmp_path / "missing")
    rest = [number for number in range(41) if number not in (20, 39)]
    assert start_order(songs, jobs=2) == [39, 20, *rest]
    assert start_order(songs, jobs=1) == list(range(41))
    assert start_order([], jobs=2) == []


def test_tags_are_read_even_if_the_song_is_not_usable(classifier: Classifier, tmp_path: Path) -> None:
    path = tmp_path / "short.flac"
    path.write_bytes(encode(tone(440, seconds=1), "flac", "flac"))
    file = FLAC(path)
    file["artist"], file["genre"] = "Miles Davis", "Jazz"
    file.save()
    [result] = predict_songs(classifier, [path], jobs=1)
    assert result.error
    assert (result.tags.artist, result.tags.genres) == ("Miles Davis", ("Jazz",))


def test_pipes_are_skipped_without_waiting(classifier: Classifier, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    [result] = predict_songs(classifier, [tmp_path / "pipe.wav"], jobs=1)
    assert result.error == "it is not a regular file"


def test_names_are_relative_to_what_the_sources_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one/live/a.wav", "two/a.wav"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)

    def names(*sources: str | Path) -> list[str]:
        files = expand_sources([Path(source) for source in sources])
        return [relative_name(song, files.root) for song in files.songs]

    assert names("one") == names(tmp_path / "one") == ["live/a.wav"]
    assert names("one", tmp_path / "two") == names(".") == ["one/live/a.wav", "two/a.wav"]
    assert names("one/live/a.wav") == ["a.wav"]
    assert names("one/live/a.wav", "two/a.wav") == ["one/live/a.wav", "two/a.wav"]
    assert names("one", "/nowhere/a.wav") == [str(tmp_path / "one/live/a.wav"), "/nowhere/a.wav"]
    (tmp_path / "one" / "list.m3u").write_text("../two/a.wav\n")
    assert names("one/list.m3u") == ["../two/a.wav"]
