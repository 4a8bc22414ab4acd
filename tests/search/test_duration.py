import pytest

from raygenre.search.duration import parse_duration
from raygenre.search.space.choices import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("45m", 2700), ("1.5h", 5400), ("1h30m", 5400), ("1d 12h", 129_600), ("0", 0)]
)
def test_durations_have_units(text: str, seconds: float) -> None:
    assert parse_duration(text, "--time-budget") == seconds


@pytest.mark.parametrize("text", ["2", "", "h", "2 hours", "-1h", "1h later"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--time-budget '.*' is not a duration; use numbers with units"):
        parse_duration(text, "--time-budget")
