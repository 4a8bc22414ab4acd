"""Reads the durations of time budgets, such as `2h` or `1h30m`; imports no large library."""

import re

from raygenre.search.space.choices import ConfigError

_SECONDS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|m|s)", re.ASCII)


def parse_duration(text: str, name: str) -> float:
    """Parse a duration, and return it in seconds.

    Args:
        text: numbers with units, such as `90m`, `1.5h` or `1d 12h`, or just `0`.
        name: name of the option, for the error message.

    Raises:
        ConfigError: the text does not have this format.
    """
    parts = _PART.findall(text)
    if text.strip() != "0" and (not parts or _PART.sub("", text).strip()):
        raise ConfigError(f"{name} {text!r} is not a duration; use numbers with units, such as 45m, 2h or 1d12h")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
