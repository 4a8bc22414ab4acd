"""Playlists of predicted genres."""

from pathlib import Path

import pytest

from raygenre.data import playlist
from raygenre.model.classifier import Prediction
from raygenre.workflows.playlists import PlaylistError, check_playlists, write_playlists
from raygenre.workflows.predict import SongResult


def result(path: Path, genre: str, *, uncertain: bool = False, image: bool = False) -> SongResult:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    shares = {genre: 1.0}
    return SongResult(path, Prediction(genre, 1.0, uncertain, shares, (shares,)), () if image else ((0.0, 30.0),), "")


def contents(folder: Path) -> dict[str, list[str]]:
    """Return the names of the songs in each playlist."""
    return {path.stem: [song.name for song in playlist.read(path).songs] for path in sorted(folder.iterdir())}


def test_each_genre_has_a_playlist_and_uncertain_songs_their_own(tmp_path: Path) -> None:
    music, folder = tmp_path / "music", tmp_path / "music" / "lists"
    results = [
        result(music / "a.mp3", "rock"),
        result(music / "b" / "b.mp3", "jazz"),
        result(music / "c.mp3", "rock"),
        result(music / "d.mp3", "jazz", uncertain=True),
        result(music / "e.png", "jazz", image=True),
        SongResult(music / "f.mp3", None, (), "damaged"),
    ]
    written = write_playlists(folder, results, ("blues", "jazz", "rock"), music)
    assert [(path.name, songs) for path, songs in written] == [
        ("uncertain.m3u8", 1), ("jazz.m3u8", 1), ("rock.m3u8", 2),
    ]  # fmt: skip
    assert contents(folder) == {"jazz": ["b.mp3"], "rock": ["a.mp3", "c.mp3"], "uncertain": ["d.mp3"]}
    lines = (folder / "jazz.m3u8").read_text().splitlines()
    assert (lines[0], lines[2]) == ("#EXTM3U", "../b/b.mp3")


def test_playlists_apart_from_the_songs_have_absolute_paths(tmp_path: Path) -> None:
    results = [result(tmp_path / "music" / "a.mp3", "rock")]
    write_playlists(tmp_path / "lists", results, ("rock",), tmp_path / "music")
    assert (tmp_path / "lists" / "rock.m3u8").read_text().splitlines()[2] == str(tmp_path / "music" / "a.mp3")


def test_names_of_playlists_are_safe_and_different(tmp_path: Path) -> None:
    genres = ("../up", "A/B", "a\\b", "Rock", "ROCK", "uncertain", "con", ".", "", "x" * 300, "a\x1b\n", ".hidden")
    results = [result(tmp_path / "music" / f"{number}.mp3", genre) for number, genre in enumerate(genres)]
    written = write_playlists(tmp_path / "lists", results, genres, tmp_path / "music")
    assert [path.name.removesuffix(".m3u8") for path, _ in written] == [
        "_up", "A_B", "a_b (2)", "Rock", "ROCK (2)", "uncertain (2)", "con_", "_", "_ (2)", "x" * 200, "a__", "hidden",
    ]  # fmt: skip
    assert {path.parent for path, _ in written} == {tmp_path / "lists"}
    assert len(list((tmp_path / "lists").iterdir())) == len(genres)


def test_earlier_lists_are_replaced_and_the_users_own_kept(tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    write_playlists(folder, [result(tmp_path / "a.mp3", "rock")], ("jazz", "rock"), tmp_path)
    (folder / "mine.m3u8").write_text("a.mp3\n")
    check_playlists(folder, ("jazz", "rock"))
    write_playlists(folder, [result(tmp_path / "a.mp3", "jazz")], ("jazz", "rock"), tmp_path)
    assert contents(folder) == {"jazz": ["a.mp3"], "mine": ["a.mp3"]}
    with pytest.raises(PlaylistError, match=r"mine\.m3u8 was not written by raygenre"):
        check_playlists(folder, ("mine", "rock"))
    (tmp_path / "file").touch()
    with pytest.raises(PlaylistError, match="is a file"):
        check_playlists(tmp_path / "file", ("rock",))


def test_songs_of_a_linked_folder_have_relative_paths(tmp_path: Path) -> None:
    music, linked = tmp_path / "Music", tmp_path / "MusicLink"
    music.mkdir()
    linked.symlink_to(music)
    (music / "same.mp3").symlink_to("a.mp3")  # a link inside the collection moves with it
    results = [result(linked / name, "rock") for name in ("a.mp3", "same.mp3")]
    write_playlists(linked / "lists", results, ("rock",), linked)
    assert (music / "lists" / "rock.m3u8").read_text().splitlines()[2:] == ["../a.mp3", "../same.mp3"]
