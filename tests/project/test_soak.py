"""The conditions under which a soak test fails."""

import pytest

from benchmarks.soak import MAX_GROWTH, growth, total

MINUTE = 12  # measurements in a minute


def rising(*, by: float, minutes: int = 6) -> list[float]:
    """Return memory use in MB that rises by `by` per minute, after a jump at the end of the first minute."""
    return [50.0] * MINUTE + [100 + by * number / MINUTE for number in range(MINUTE * (minutes - 1))]


def test_growth_is_per_minute_after_the_first_sixth() -> None:
    assert growth(rising(by=0.5)) == pytest.approx(0.5)
    assert growth(rising(by=0)) == pytest.approx(0, abs=1e-9)
    assert growth(rising(by=-2, minutes=30)) < 0


def test_growth_is_summed_over_processes() -> None:
    memory = {role: rising(by=0.6 * MAX_GROWTH) for role in ("replica", "proxy")}
    assert growth(memory["proxy"]) < MAX_GROWTH < growth(total(memory))


def test_missing_process_raises_an_error() -> None:
    with pytest.raises(RuntimeError, match="no proxy"):
        total({"replica": [9.0, 9.0], "proxy": [9.0, 0.0]})
