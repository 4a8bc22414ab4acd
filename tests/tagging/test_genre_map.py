"""The user's own genre names."""

from pathlib import Path

import pytest

from raygenre.tagging.genre_map import GenreMapError, read_genre_map

GENRES = ("hiphop", "rock", "pop")


def test_names_are_texts_or_lists(tmp_path: Path) -> None:
    path = tmp_path / "genres.yaml"
    path.write_text("hiphop: Hip-Hop\nrock: [Rock, Ünï, Rock]\n", "utf-8")
    assert read_genre_map(path, GENRES) == {"hiphop": ("Hip-Hop",), "rock": ("Rock", "Ünï")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- rock", "must map genres to names"),
        ("rock: [", "is not valid YAML"),
        ("rock:", "rock: None is not text; put it in quotes"),
        ("rock: 80", "rock: 80 is not text; put it in quotes"),
        ("rock: []", "rock has no name"),
        ("rock: ' '", "is not a name"),
        ('rock: "a\\0b"', "is not a name"),
        ("jazz: Jazz", "the model has no genre jazz; its genres are hiphop, rock, pop"),
    ],
)
def test_unusable_names_are_errors(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "genres.yaml"
    path.write_text(text)
    with pytest.raises(GenreMapError, match=message):
        read_genre_map(path, GENRES)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GenreMapError, match="cannot be read: No such file"):
        read_genre_map(tmp_path / "genres.yaml")
