"""The tracks found in a data folder have the right files, genres and ids."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from raygenre.audio.decoding import SUFFIXES
from raygenre.data.track_files import DataError, find_tracks


def fill(root: Path, paths: Sequence[str]) -> Path:
    """Create files at the given paths below root, each containing its own path."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    return root


def tracks(source: Path) -> list[tuple[str, str, str]]:
    """Return (path below source, genre, id) for each track."""
    return [(str(file.path.relative_to(source)), file.genre, file.track) for file in find_tracks(source)]


IMAGES = ("images_original/blues/blues00000.png", "images_original/jazz/jazz00054.png")
AUDIO = ("genres_original/blues/blues.00000.wav", "genres_original/jazz/jazz.00054.wav")
KAGGLE_IDS = ["blues.00000", "jazz.00054"]


@pytest.mark.parametrize("above", ["", "Data/", "gtzan/Data/"])
@pytest.mark.parametrize("files", [IMAGES, AUDIO])
def test_kaggle_layout(files: Sequence[str], above: str, tmp_path: Path) -> None:
    fill(tmp_path, [above + path for path in files])
    assert tracks(tmp_path) == [
        (above + files[0], "blues", "blues.00000"),
        (above + files[1], "jazz", "jazz.00054"),
    ]


@pytest.mark.parametrize("files", [IMAGES, AUDIO])
def test_kaggles_inner_folder(files: Sequence[str], tmp_path: Path) -> None:
    folder = fill(tmp_path, files) / Path(files[0]).parts[0]
    assert [file.track for file in find_tracks(folder)] == KAGGLE_IDS


def test_images_are_preferred(tmp_path: Path) -> None:
    fill(tmp_path, ["Data/" + path for path in (*AUDIO, *IMAGES)])
    assert [path for path, _, _ in tracks(tmp_path)] == ["Data/" + path for path in IMAGES]


def test_audio_folder_may_be_chosen(tmp_path: Path) -> None:
    fill(tmp_path, (*AUDIO, *IMAGES))
    assert [file.path.suffix for file in find_tracks(tmp_path / "genres_original")] == [".wav", ".wav"]


def test_other_files_of_the_kaggle_layout_are_ignored(tmp_path: Path) -> None:
    fill(tmp_path, [*IMAGES, "features_30_sec.csv", "other/rock/rock00000.png"])
    assert [file.genre for file in find_tracks(tmp_path)] == ["blues", "jazz"]


def test_class_folders_layout(tmp_path: Path) -> None:
    fill(tmp_path, ["polka/one.mp3", "polka/two.flac", "fado/three.PNG", "fado/notes.txt", "readme.md"])
    assert tracks(tmp_path) == [
        ("fado/three.PNG", "fado", "three"),
        ("polka/one.mp3", "polka", "one"),
        ("polka/two.flac", "polka", "two"),
    ]


@pytest.mark.parametrize("suffix", sorted(SUFFIXES | {".png", ".MP3", ".Wav"}))
def test_every_suffix_is_accepted_in_any_case(suffix: str, tmp_path: Path) -> None:
    fill(tmp_path, [f"polka/song{suffix}", "fado/three.png"])
    assert ("polka/song" + suffix, "polka", "song") in tracks(tmp_path)


def test_files_in_subfolders_of_classes(tmp_path: Path) -> None:
    fill(tmp_path, ["rock/Band/Album/01 Song.mp3", "rock/Band/02 Song.mp3", "jazz/Trio/01 Tune.mp3"])
    assert tracks(tmp_path) == [
        ("jazz/Trio/01 Tune.mp3", "jazz", "01 Tune"),
        ("rock/Band/02 Song.mp3", "rock", "02 Song"),
        ("rock/Band/Album/01 Song.mp3", "rock", "01 Song"),
    ]


@pytest.mark.parametrize(
    ("name", "track"),
    [
        ("blues00029.png", "blues.00029"),
        ("blues.00029.wav", "blues.00029"),
        ("blues.00029.au", "blues.00029"),
        ("blues0029.png", "blues0029"),
        ("blues000290.png", "blues000290"),
        ("rock00029.png", "rock00029"),
        ("my.song.mp3", "my.song"),
    ],
)
def test_ids_follow_from_file_names(name: str, track: str, tmp_path: Path) -> None:
    fill(tmp_path, [f"blues/{name}", "jazz/x.png"])
    assert tracks(tmp_path)[0] == (f"blues/{name}", "blues", track)


def test_genre_name_is_not_a_regular_expression(tmp_path: Path) -> None:
    fill(tmp_path, ["r.b/rxb00001.png", "c++/c++00001.png"])
    assert [file.track for file in find_tracks(tmp_path)] == ["c++.00001", "rxb00001"]


def test_same_file_name_in_two_classes_gives_two_ids(tmp_path: Path) -> None:
    fill(tmp_path, ["rock/intro.mp3", "jazz/intro.mp3", "jazz/outro.mp3"])
    assert [file.track for file in find_tracks(tmp_path)] == ["jazz/intro", "outro", "rock/intro"]


def test_same_file_name_within_a_class_gives_two_ids(tmp_path: Path) -> None:
    fill(tmp_path, ["rock/A/intro.mp3", "rock/B/intro.mp3", "rock/B/intro.png", "jazz/intro.mp3", "jazz/x.mp3"])
    assert [file.track for file in find_tracks(tmp_path)] == [
        "jazz/intro",
        "x",
        "rock/A/intro.mp3",
        "rock/B/intro.mp3",
        "rock/B/intro.png",
    ]


def test_image_and_audio_of_one_name_are_two_tracks(tmp_path: Path) -> None:
    fill(tmp_path, ["blues/blues00001.png", "blues/blues.00001.wav", "jazz/x.mp3"])
    assert len({file.track for file in find_tracks(tmp_path)}) == 3


def test_hidden_files_and_folders_are_ignored(tmp_path: Path) -> None:
    fill(tmp_path, ["rock/a.mp3", "rock/.b.mp3", "rock/._a.mp3", "jazz/c.mp3", ".cache/d.mp3", "__MACOSX/rock/._a.mp3"])
    assert [file.track for file in find_tracks(tmp_path)] == ["c", "a"]


def test_folder_with_an_audio_suffix_is_searched(tmp_path: Path) -> None:
    fill(tmp_path, ["rock/live.mp3/a.mp3", "jazz/c.mp3"])
    assert [file.track for file in find_tracks(tmp_path)] == ["c", "a"]


def test_content_is_hashed(tmp_path: Path) -> None:
    fill(tmp_path, ["rock/a.mp3", "jazz/c.mp3"])
    assert [file.sha256 for file in find_tracks(tmp_path)] == [
        hashlib.sha256(text).hexdigest() for text in (b"jazz/c.mp3", b"rock/a.mp3")
    ]


def test_missing_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is not a folder"):
        find_tracks(tmp_path / "nowhere")
    (tmp_path / "song.mp3").touch()
    with pytest.raises(DataError, match=r"song\.mp3 is not a folder"):
        find_tracks(tmp_path / "song.mp3")


def test_empty_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{tmp_path.name} contains 0 class folder"):
        find_tracks(tmp_path)


def test_single_class_is_rejected(tmp_path: Path) -> None:
    fill(tmp_path, ["rock/a.mp3", "b.mp3"])
    with pytest.raises(DataError, match=f"{tmp_path.name} contains 1 class folder"):
        find_tracks(tmp_path)


@pytest.mark.parametrize("place", ["polka", "images_original/polka"])
def test_empty_class_is_rejected(place: str, tmp_path: Path) -> None:
    parent = Path(place).parent
    fill(tmp_path, [str(parent / "rock/a.mp3"), str(parent / "jazz/b.mp3"), f"{place}/notes.txt"])
    with pytest.raises(DataError, match=rf"{tmp_path / place} contains no PNG or audio file"):
        find_tracks(tmp_path)


def test_subfolder_named_like_its_genre(tmp_path: Path) -> None:
    fill(tmp_path, ["rock/a.mp3", "rock/rock/a.mp3", "jazz/b.mp3"])
    assert len({file.track for file in find_tracks(tmp_path)}) == 3


def test_hidden_folders_within_classes_are_ignored(tmp_path: Path) -> None:
    fill(tmp_path, ["rock/a.png", "rock/.ipynb_checkpoints/a-checkpoint.png", "jazz/b.png"])
    assert [file.track for file in find_tracks(tmp_path)] == ["b", "a"]
