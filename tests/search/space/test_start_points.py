import re

import pytest

from raygenre.search.space.space import SpaceError, Value, nearest_point, to_distributions
from raygenre.search.space.start_points import complete, parse

SPACE = to_distributions(
    {"dropout": {"low": 0.0, "high": 0.5}, "batch_size": [8, 16], "dense": {"low": 10, "high": 90, "step": 20}}
)
FIXED: dict[str, Value] = {"width": 32, "augmentation": "none"}


def test_a_start_point_is_parsed() -> None:
    assert parse("dropout=0.3, learning_rate=1e-3,batch_size=8,augmentation=none") == {
        "dropout": 0.3,
        "learning_rate": 1e-3,
        "batch_size": 8,
        "augmentation": "none",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dropout", "'dropout' is not NAME=VALUE"),
        ("dropout=", "'dropout=' is not NAME=VALUE"),
        ("", "'' is not NAME=VALUE"),
        ("dropout=0.1,dropout=0.2", "dropout is set twice"),
        ("droput=0.1", "did you mean dropout?"),
        ("dropout=some", "'some' is not a number"),
        ("batch_size=1.5", "'1.5' is not a whole number"),
    ],
)
def test_an_invalid_start_point_is_refused(text: str, message: str) -> None:
    with pytest.raises(SpaceError, match=re.escape(message)):
        parse(text)


def test_missing_values_of_a_start_point_are_filled_in() -> None:
    defaults = nearest_point(SPACE)
    assert complete({"dropout": 0.1, "width": 32}, SPACE, defaults=defaults, fixed=FIXED) == {
        **defaults,
        "dropout": 0.1,
    }


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"dropout": 0.9}, "start dropout=0.9 is outside the space, which allows 0 to 0.5"),
        ({"batch_size": 9}, "start batch_size=9 is outside the space, which allows 8 or 16"),
        ({"dense": 20}, "start dense=20 is outside the space, which allows 10 to 90 in steps of 20"),
        ({"dense": "many"}, "start dense=many is outside"),
        ({"width": 16}, "width is fixed at 32 in this space"),
        ({"denze": 10}, "did you mean dense?"),
    ],
)
def test_a_start_point_outside_the_space_is_refused(point: dict[str, Value], message: str) -> None:
    with pytest.raises(SpaceError, match=re.escape(message)):
        complete(point, SPACE, defaults=nearest_point(SPACE), fixed=FIXED)
