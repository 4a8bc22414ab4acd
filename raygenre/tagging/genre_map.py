"""The user's own genre names, from a YAML file.

The file maps each of the model's genres to a name, or to a list of names that are written as several values:

    hiphop: Hip-Hop
    rock: [Rock, Alternative]

Genres that are not in the file keep the model's names.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from raygenre.errors import RaygenreError


class GenreMapError(RaygenreError, ValueError):
    """The file with the genre names is unusable; the message names the file and the entry."""


def read_genre_map(path: Path, genres: Sequence[str] | None = None) -> dict[str, tuple[str, ...]]:
    """Return the names for each genre in the file.

    Args:
        genres: the model's genres, if known; in that case, each entry must name one of them.

    Raises:
        GenreMapError: the file cannot be read, or an entry does not name one of the genres or has no valid names.
    """
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise GenreMapError(f"--map {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise GenreMapError(f"--map {path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, Mapping):
        raise GenreMapError(f"--map {path} must map genres to names, such as `hiphop: Hip-Hop`")
    names: dict[str, tuple[str, ...]] = {}
    for genre, value in content.items():
        values = value if isinstance(value, list) else [value]
        for name in [genre, *values]:
            if not isinstance(name, str):
                raise GenreMapError(f"--map {path}: {genre}: {name!r} is not text; put it in quotes")
            if not name.strip() or not name.isprintable():
                raise GenreMapError(f"--map {path}: {genre}: {name!r} is not a name; use printable characters")
        if not values:
            raise GenreMapError(f"--map {path}: {genre} has no name; remove the line or add a name")
        if genres is not None and genre not in genres:
            raise GenreMapError(f"--map {path}: the model has no genre {genre}; its genres are {', '.join(genres)}")
        names[genre] = tuple(dict.fromkeys(values))
    return names
