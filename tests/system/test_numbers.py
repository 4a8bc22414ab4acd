import math

import pytest

from raygenre.system.numbers import loss_text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.69315, "0.693"), (23.03, "23.030"), (-2.5, "-2.500"), (5.52e19, "5.52e+19"), (-1e30, "-1e+30"),
     (12345, "1.23e+04"), (math.inf, "inf"), (math.nan, "nan")],
)  # fmt: skip
def test_a_loss_of_any_size_is_short(value: float, text: str) -> None:
    assert loss_text(value) == text


def test_differences_have_a_sign_and_curves_more_decimals() -> None:
    assert loss_text(0.5, sign=True) == "+0.500"
    assert loss_text(5.5e19, sign=True) == "+5.5e+19"
    assert loss_text(0.1234567, decimals=6) == "0.123457"
