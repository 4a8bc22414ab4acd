"""Matches a data set's genres to those of a classifier, by normal form or an explicit map.

Two names have the same form if they differ only in case, Unicode normal form (macOS decomposes accents in file names),
spaces, hyphens or underscores. `Hip-Hop`, `hip hop` and `hiphop`, for example, have the same form.
"""

import shlex
import unicodedata
from collections.abc import Mapping, Sequence

from raygenre.errors import RaygenreError

_IGNORED = {"Zs", "Pd", "Pc"}  # Unicode categories: spaces, dashes, and connectors such as the underscore


class GenreNameError(RaygenreError, ValueError):
    """A genre name is ambiguous, or `--map` names a genre that does not exist."""


def normal_form(name: str) -> str:
    """Return the normal form of a name, which ignores case, spaces, hyphens and underscores."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    kept = "".join(character for character in folded if unicodedata.category(character) not in _IGNORED)
    return kept or folded


def parse_map(options: Sequence[str]) -> dict[str, str]:
    """Read `FROM=TO` options.

    Raises:
        GenreNameError: an option lacks a name, or two options map a genre to different genres.
    """
    mapped: dict[str, str] = {}
    for option in options:
        name, equals, genre = (part.strip() for part in option.partition("="))
        if not (name and equals and genre):
            raise GenreNameError(f"--map {option!r}: expected FROM=TO, the names of two genres")
        if mapped.setdefault(name, genre) != genre:
            raise GenreNameError(f"--map maps the genre {name} twice: as {mapped[name]} and as {genre}")
    return mapped


def match_genres(
    names: Sequence[str], genres: Sequence[str], mapped: Mapping[str, str], *, source: str
) -> dict[str, str]:
    """Map each name that matches one of the classifier's genres to that genre.

    Args:
        names: names of the data set's genres.
        genres: names of the classifier's genres.
        mapped: name → genre, as chosen by the user; its names are matched by form with `names`, and its genres with
            `genres`.
        source: source of the data set, for messages.

    Raises:
        GenreNameError: a name has the same form as several genres, or `mapped` contains a name or genre that does
            not exist.
    """
    chosen = {
        _only_match(name, names, f"--map {name}={genre}: {source} has no genre {name}; its genres are"): _only_match(
            genre, genres, f"--map {name}={genre}: the model has no genre {genre}; its genres are"
        )
        for name, genre in mapped.items()
    }
    return {name: genre for name in names if (genre := chosen.get(name) or _match(name, genres))}


def map_hint(names: Sequence[str]) -> str:
    """Return the options that assign genres to these names, for messages."""
    return " ".join(f"--map {shlex.quote(f'{name}=GENRE')}" for name in names)


def _only_match(name: str, names: Sequence[str], missing: str) -> str:
    match = _match(name, names)
    if match is None:
        raise GenreNameError(f"{missing} {', '.join(names)}")
    return match


def _match(name: str, names: Sequence[str]) -> str | None:
    """Return the entry of `names` that equals `name` or else has the same form; None if no entry matches."""
    if name in names:
        return name
    matches = [other for other in names if normal_form(other) == normal_form(name)]
    if len(matches) > 1:
        raise GenreNameError(f"the genre {name} may be {' or '.join(matches)}; choose one with {map_hint([name])}")
    return matches[0] if matches else None
