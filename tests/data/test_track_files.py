"""The tracks found in a data folder have the right files, genres and ids."""

import hashlib
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest

from raygenre.audio.decoding import SUFFIXES
from raygenre.data.track_files import DataError, TrackFile, hash_files, read_folder
from tests.helpers.folders import PNG_HEAD, fill


def find_tracks(source: Path) -> list[TrackFile]:
    return hash_files(read_folder(source).paths)


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


def test_kaggles_folder_in_the_recycle_bin_is_ignored(tmp_path: Path) -> None:
    fill(tmp_path, [*("#recycle/" + path for path in IMAGES), *("Data/" + path for path in IMAGES)])
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
def test_empty_class_is_named_and_left_out(place: str, tmp_path: Path) -> None:
    parent = Path(place).parent
    fill(tmp_path, [str(parent / "rock/a.mp3"), str(parent / "jazz/b.mp3"), f"{place}/notes.txt"])
    folder = read_folder(tmp_path)
    assert [item.genre for item in folder.paths] == ["jazz", "rock"]
    empty = f"the class folder {tmp_path / place} contains no spectrogram or audio file and is left out"
    assert folder.notes == (empty, "ignored: 1 .txt")
    (tmp_path / parent / "jazz/b.mp3").unlink()
    with pytest.raises(DataError, match="contains 1 class folder") as error:
        find_tracks(tmp_path)
    assert empty in str(error.value)


def test_clutter_is_not_a_class(tmp_path: Path) -> None:
    folders = ("@eaDir", "lost+found", "System Volume Information", "$RECYCLE.BIN", "#recycle")
    fill(tmp_path, ["rock/a.mp3", "jazz/b.mp3", *(f"{name}/c.mp3" for name in folders), "rock/Thumbs.db"])
    folder = read_folder(tmp_path)
    assert [item.track for item in folder.paths] == ["b", "a"]
    ignored = "1 #recycle, 1 $RECYCLE.BIN, 1 @eaDir, 1 System Volume Information, 1 Thumbs.db, 1 lost+found"
    assert folder.notes == (f"ignored: {ignored}",)
    assert not folder.left_out
    assert not folder.unusable


def test_covers_are_not_tracks(tmp_path: Path) -> None:
    fill(tmp_path, ["rock/a.mp3", "rock/folder.jpg", "jazz/b.mp3"])
    (tmp_path / "rock" / "cover.png").write_bytes(PNG_HEAD.replace(b"\x01\xb0", b"\x02\x00"))
    folder = read_folder(tmp_path)
    assert [item.track for item in folder.paths] == ["b", "a"]
    assert folder.notes == ("ignored: 1 .jpg, 1 .png",)


def test_unicode_forms_of_a_name_are_one_class(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "Músicá") for form in ("NFC", "NFD")]
    fill(tmp_path, [f"{names[0]}/a.mp3", f"{names[1]}/b.mp3", f"{names[1]}/a.mp3", "rock/c.mp3"])
    folder = read_folder(tmp_path)
    assert [item.genre for item in folder.paths] == [names[0]] * 3 + ["rock"]
    assert len({item.track for item in folder.paths}) == 4
    [note] = folder.notes
    assert note.startswith(f"2 class folders are called {names[0]} in different Unicode forms; they are treated as one")


def test_case_makes_different_classes_unless_it_is_merged(tmp_path: Path) -> None:
    fill(tmp_path, ["rock/a.mp3", "Rock/a.mp3", "Rock/b.mp3", "ROCK/c.mp3", "jazz/d.mp3"])
    apart, merged = read_folder(tmp_path), read_folder(tmp_path, merge_case=True)
    assert sorted({item.genre for item in apart.paths}) == ["ROCK", "Rock", "jazz", "rock"]
    assert apart.notes == (
        "ROCK, Rock and rock differ only in case and are different classes; merge them with raygenre tune --merge-case",
    )
    assert sorted({item.genre for item in merged.paths}) == ["Rock", "jazz"]
    assert merged.notes == ("ROCK, Rock and rock are treated as one class, Rock",)
    assert {item.track for item in apart.paths} == {item.track for item in merged.paths}


def test_songs_outside_of_classes_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, ["rock/a.mp3", "jazz/b.mp3", "c.mp3", "_new/d.mp3"])
    folder = read_folder(tmp_path)
    assert folder.notes == ("left out: 2 songs that are not in a <class>/ folder (-v lists them)",)
    assert folder.left_out == (
        (tmp_path / "_new/d.mp3", "the name of its folder begins with _"),
        (tmp_path / "c.mp3", "it is not in a <class>/ folder"),
    )


def test_unreadable_files_and_folders_are_named(tmp_path: Path) -> None:
    fill(tmp_path, ["rock/a.mp3", "jazz/b.mp3"])
    (tmp_path / "rock" / "link").symlink_to("link")
    (tmp_path / "rock" / "gone.mp3").symlink_to("nowhere")
    os.mkfifo(tmp_path / "rock" / "pipe.mp3")
    folder = read_folder(tmp_path)
    assert folder.unusable == (
        (tmp_path / "rock" / "link", "the file cannot be read: Too many levels of symbolic links"),
    )
    assert {file.track: file.error for file in hash_files(folder.paths) if file.error} == {
        "gone": "No such file or directory",
        "pipe": "it is not a regular file",
    }


def test_ids_of_names_that_are_not_utf_8_are_text(tmp_path: Path) -> None:
    fill(tmp_path, ["rock/a.mp3", "jazz/b.mp3"])
    (tmp_path / "rock" / "a.mp3").rename(tmp_path / "rock" / os.fsdecode(b"\xff.mp3"))
    (tmp_path / "jazz").rename(tmp_path / os.fsdecode(b"jazz\xff"))
    assert [(item.genre, item.track) for item in read_folder(tmp_path).paths] == [("jazz\\xff", "b"), ("rock", "\\xff")]


def test_subfolder_named_like_its_genre(tmp_path: Path) -> None:
    fill(tmp_path, ["rock/a.mp3", "rock/rock/a.mp3", "jazz/b.mp3"])
    assert len({file.track for file in find_tracks(tmp_path)}) == 3


def test_hidden_folders_within_classes_are_ignored(tmp_path: Path) -> None:
    fill(tmp_path, ["rock/a.png", "rock/.ipynb_checkpoints/a-checkpoint.png", "jazz/b.png"])
    assert [file.track for file in find_tracks(tmp_path)] == ["b", "a"]
