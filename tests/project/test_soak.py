"""When a soak is said to have failed."""

import pytest

from benchmarks.soak import MOST_GROWTH, growth, together

MINUTE = 12  # looks


def rising(*, by: float, minutes: int = 6) -> list[float]:
    """MB that rise by so much a minute, after they jumped in the first one."""
    return [50.0] * MINUTE + [100 + by * look / MINUTE for look in range(MINUTE * (minutes - 1))]


def test_growth_is_a_minutes_after_the_first_sixth() -> None:
    assert growth(rising(by=0.5)) == pytest.approx(0.5)
    assert growth(rising(by=0)) == pytest.approx(0, abs=1e-9)
    assert growth(rising(by=-2, minutes=30)) < 0


def test_processes_that_grow_by_little_each_count_together() -> None:
    memory = {role: rising(by=0.6 * MOST_GROWTH) for role in ("replica", "proxy")}
    assert growth(memory["proxy"]) < MOST_GROWTH < growth(together(memory))


def test_a_process_that_was_away_is_no_saving() -> None:
    with pytest.raises(RuntimeError, match="no proxy"):
        together({"replica": [9.0, 9.0], "proxy": [9.0, 0.0]})
