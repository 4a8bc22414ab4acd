import unicodedata

import pytest

from raygenre.evaluation.genre_names import GenreNameError, match_genres, normal_form, parse_map

GENRES = ("hiphop", "jazz", "música popular")


@pytest.mark.parametrize(
    ("name", "genre"),
    [
        ("Jazz", "jazz"),
        ("HIP-HOP", "hiphop"),
        ("hip hop", "hiphop"),
        ("Hip_Hop", "hiphop"),
        ("hip\u2010hop", "hiphop"),
        (unicodedata.normalize("NFD", "Música-Popular"), "música popular"),
    ],
)
def test_names_are_matched_by_form(name: str, genre: str) -> None:
    assert match_genres([name], GENRES, {}, source="/music") == {name: genre}


@pytest.mark.parametrize("name", ["jaz", "musica popular", "hip.hop", "-"])
def test_other_names_are_not_matched(name: str) -> None:
    assert match_genres([name], GENRES, {}, source="/music") == {}


def test_names_of_punctuation_alone_keep_their_form() -> None:
    assert normal_form("-") != normal_form("_")


def test_an_equal_name_comes_before_one_of_the_same_form() -> None:
    assert match_genres(["hip-hop", "hiphop"], ("hip-hop", "hiphop"), {}, source="") == {
        "hip-hop": "hip-hop",
        "hiphop": "hiphop",
    }


def test_an_ambiguous_name_is_an_error_with_the_remedy() -> None:
    both = ("hip-hop", "hiphop")
    with pytest.raises(
        GenreNameError, match=r"Hip Hop may be hip-hop or hiphop; choose one with --map 'Hip Hop=GENRE'"
    ):
        match_genres(["Hip Hop"], both, {}, source="/music")
    assert match_genres(["Hip Hop"], both, {"Hip Hop": "hiphop"}, source="") == {"Hip Hop": "hiphop"}


def test_map_gives_names_a_genre() -> None:
    mapped = parse_map(["rap = hiphop", "Bebop=JAZZ"])
    assert match_genres(["Rap", "bebop", "x"], GENRES, mapped, source="") == {"Rap": "hiphop", "bebop": "jazz"}


@pytest.mark.parametrize(
    ("mapped", "message"),
    [
        ({"rok": "jazz"}, "--map rok=jazz: /music has no genre rok; its genres are rap, swing"),
        ({"rap": "rock"}, "--map rap=rock: the model has no genre rock; its genres are hiphop, jazz, música popular"),
    ],
)
def test_names_that_do_not_exist_are_errors(mapped: dict[str, str], message: str) -> None:
    with pytest.raises(GenreNameError, match=message):
        match_genres(["rap", "swing"], GENRES, mapped, source="/music")


@pytest.mark.parametrize("options", [["jazz"], ["=jazz"], ["rap="], ["rap=jazz", "rap=hiphop"]])
def test_a_wrong_map_is_an_error(options: list[str]) -> None:
    with pytest.raises(GenreNameError, match=r"^--map"):
        parse_map(options)
