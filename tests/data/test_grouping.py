"""Songs that share an artist, an album or a folder stay in the same subset."""

import unicodedata
from collections.abc import Mapping
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from raygenre.data.dataset import Dataset
from raygenre.data.grouping import Grouping, find_grouping, read_artists
from raygenre.data.splits import given_split, indices, random_split
from raygenre.data.track_files import DataError
from tests.helpers.sounds import encode, tone

GENRES = ("blues", "rock")


def dataset(tracks: list[str], source: Path | str = "nowhere") -> Dataset:
    """Return a dataset of tracks whose names start with their genres."""
    labels = np.array([GENRES.index(track.split(".")[0]) for track in tracks], dtype=np.int64)
    levels = np.zeros((len(tracks), 128, 333), dtype=np.uint8)
    levels[:, 0, 0], levels[:, 0, 1] = np.divmod(np.arange(len(tracks)), 256)
    return Dataset(levels, labels, tuple(tracks), GENRES, str(source), (), "digest")


def songs(count: int) -> list[str]:
    return [f"{genre}.{number:05d}" for genre in GENRES for number in range(count)]


def write(path: Path, container: str, codec: str, **tags: str) -> None:
    """Write a short song with tags, by copying an encoded stream."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".plain").write_bytes(encode(tone(440, seconds=0.2), container, codec))
    with av.open(path.with_suffix(".plain")) as source, av.open(path, "w", format=container) as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        (stream.metadata if container == "ogg" else target.metadata).update(tags)
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    path.with_suffix(".plain").unlink()


def grouped_folder(root: Path, *, tagged: bool, folders: bool) -> Dataset:
    """Write two songs by each of three artists per genre, and return the folder's dataset."""
    for genre in GENRES:
        for number in range(6):
            artist = f"{genre} band {number // 2}"
            folder = root / genre / artist if folders else root / genre
            # The spelling of a name may differ between songs.
            spelling = unicodedata.normalize("NFD", f"Thé {artist.upper()}") if number % 2 else f"thé  {artist}"
            write(folder / f"{genre}.{number:05d}.flac", "flac", "flac", **({"artist": spelling} if tagged else {}))
    return dataset(songs(6), root)


@pytest.mark.parametrize(
    ("tagged", "folders", "by"), [(True, False, "artist"), (False, True, "folder"), (True, True, "artist")]
)
def test_auto_uses_tags_and_then_folders(tagged: bool, folders: bool, by: str, tmp_path: Path) -> None:
    grouping = find_grouping(grouped_folder(tmp_path, tagged=tagged, folders=folders), "auto")
    assert grouping.by == by
    assert grouping.note == f"6 {by}s; all tracks of each {by} are in the same subset"
    assert sorted(grouping.groups) == [
        (f"{genre}.{first:05d}", f"{genre}.{first + 1:05d}") for genre in GENRES for first in (0, 2, 4)
    ]


def test_unknown_artists_are_a_warning_of_inflation(tmp_path: Path) -> None:
    grouping = find_grouping(grouped_folder(tmp_path, tagged=False, folders=False), "auto")
    assert not grouping
    assert grouping.note.startswith("none: neither tags nor folders name the artists; songs of one artist may be in")
    assert "by about 14 percentage points" in grouping.note
    assert "--artists FILE" in grouping.note
    assert find_grouping(dataset(songs(3)), "none").note.startswith("none: songs of one artist may be in")


def test_albums_of_the_same_name_are_different_albums(tmp_path: Path) -> None:
    for number, genre in enumerate(GENRES * 3):
        path = tmp_path / genre / f"{genre}.{number // 2:05d}.flac"
        write(path, "flac", "flac", artist=f"artist {number}", album="Greatest Hits")
    assert len(find_grouping(dataset(songs(3), tmp_path), "album").groups) == 6


def test_a_compilation_does_not_hide_its_artists(tmp_path: Path) -> None:
    for genre in GENRES:
        for number in range(6):
            tags = {"artist": f"{genre} {number // 2}", "album_artist": "Various Artists" if number % 2 else ""}
            write(tmp_path / genre / f"{genre}.{number:05d}.flac", "flac", "flac", **tags)
    grouping = find_grouping(dataset(songs(6), tmp_path), "artist")
    assert ("blues.00000", "blues.00001") in grouping.groups
    assert len(grouping.groups) == 6


def test_albums_below_an_artist_are_one_group(tmp_path: Path) -> None:
    for genre in GENRES:
        for number in range(6):
            folder = tmp_path / genre / f"artist {number // 2}" / f"album {number % 2}"
            write(folder / f"{genre}.{number:05d}.flac", "flac", "flac")
    assert len(find_grouping(dataset(songs(6), tmp_path), "folder").groups) == 6


def test_one_folder_above_all_artists_is_no_group(tmp_path: Path) -> None:
    for genre in GENRES:
        for number in range(6):
            folder = tmp_path / genre / "music" / f"artist {number // 2}"
            write(folder / f"{genre}.{number:05d}.flac", "flac", "flac")
    assert len(find_grouping(dataset(songs(6), tmp_path), "folder").groups) == 6


def test_too_few_artists_are_an_error_only_if_asked_for(tmp_path: Path) -> None:
    for genre in GENRES:
        for number in range(4):
            write(tmp_path / genre / f"{genre}.{number:05d}.flac", "flac", "flac", artist=f"{genre} {number % 2}")
    tracks = dataset(songs(4), tmp_path)
    assert find_grouping(tracks, "auto").note.startswith("none, because blues has only 2 different artists")
    with pytest.raises(DataError, match=r"blues has only 2 different artists.*--group-by none"):
        find_grouping(tracks, "artist")


def test_a_file_names_the_artists_of_images(tmp_path: Path) -> None:
    tracks = dataset(songs(3))
    index = tmp_path / "artists.txt"
    index.write_text("blues.00000.wav ::: John Lee Hooker ::: Dimples\nblues/blues.00001.wav ::: JOHN LEE HOOKER\n"
                     "blues.00002.wav :::  ::: \nrock.00001,Queen\npop.00001,ABBA\n")  # fmt: skip
    hooker = "john lee hooker"
    assert read_artists(index, tracks) == {"blues.00000": hooker, "blues.00001": hooker, "rock.00001": "queen"}
    index.write_text("blues.00000.wav\n")
    with pytest.raises(DataError, match="line 1: expected TRACK ::: ARTIST"):
        read_artists(index, tracks)
    index.write_text("jazz.00000,Monk\n")
    with pytest.raises(DataError, match="contains no artist for any track in nowhere"):
        read_artists(index, tracks)


def leaking(groups: Mapping[str, str], *sides: tuple[str, ...]) -> set[str]:
    """Return the groups that occur in more than one subset."""
    found = [{groups[track] for track in side} for side in sides]
    return {group for number, side in enumerate(found) for other in found[:number] for group in side & other}


@pytest.mark.parametrize("folds", [1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_in_two_subsets(seed: int, folds: int) -> None:
    tracks = dataset(songs(40))
    sizes = np.random.default_rng(seed).integers(1, 9, size=80).cumsum()
    group_of = {track: str(np.searchsorted(sizes, number)) for number, track in enumerate(tracks.tracks)}
    grouping = Grouping("artist", group_of)
    split = random_split(tracks, seed=seed, folds=folds, validation=0.2, duplicates=[], grouping=grouping)
    assert 0.1 < len(split.test) / 80 < 0.35
    for fold in split.folds:
        assert leaking(group_of, fold.train, fold.validation, split.test) == set()
        assert sorted((*fold.train, *fold.validation, *split.test)) == sorted(tracks.tracks)
    again = random_split(tracks, seed=seed, folds=folds, validation=0.2, duplicates=[], grouping=grouping)
    assert again == split


def test_lists_leave_out_artists_of_the_test_tracks(tmp_path: Path) -> None:
    tracks = dataset(songs(6))
    for name, numbers in (("train", (0, 1, 2)), ("valid", (3, 4)), ("test", (5,))):
        (tmp_path / f"{name}.txt").write_text("".join(f"{genre}.{n:05d}\n" for genre in GENRES for n in numbers))
    group_of = {"blues.00000": "a", "blues.00003": "b", "blues.00005": "a", "rock.00001": "c", "rock.00004": "c"}
    split = given_split(
        tracks, tmp_path, seed=0, folds=1, validation=0.2, duplicates=[], grouping=Grouping("artist", group_of)
    )
    assert set(split.left_out) == {"blues.00000", "rock.00001"}
    assert len(split.test) == 2


def artists(random: np.random.Generator) -> tuple[NDArray[np.uint8], dict[str, str]]:
    """Return the levels and artists of 2 genres × 4 artists × 8 songs; six fixed tones identify each artist."""
    levels = np.zeros((64, 128, 333), dtype=np.uint8)
    names = {}
    for artist in range(8):
        tones = random.choice(128, size=6, replace=False)
        for song in range(8):
            number = artist * 8 + song
            levels[number] = random.integers(0, 40, size=(128, 333))
            levels[number, tones] = random.integers(100, 256, size=(6, 1))
            names[songs(32)[number]] = str(artist)
    return levels, names


def test_known_artists_inflate_accuracy_unless_grouped() -> None:
    """The tones identify the artist but not the genre."""
    accuracies: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(12):
        levels, names = artists(np.random.default_rng(seed))
        tracks = dataset(songs(32))
        for grouped in (True, False):
            grouping = Grouping("artist", names) if grouped else None
            split = random_split(tracks, seed=seed, folds=1, validation=0.2, duplicates=[], grouping=grouping)
            train, test = indices(tracks, split.train), indices(tracks, split.test)
            means = levels.mean(axis=2)
            model = LogisticRegression(max_iter=1000).fit(means[train], tracks.labels[train])
            accuracies[grouped].append(float(model.score(means[test], tracks.labels[test])))
    assert np.mean(accuracies[False]) > 0.95
    assert 0.25 < np.mean(accuracies[True]) < 0.75
