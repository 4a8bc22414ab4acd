"""Format numbers of any size in a few characters."""

_UNITS = ("B", "kB", "MB", "GB", "TB")


def loss_text(value: float, *, decimals: int = 3, sign: bool = False) -> str:
    """Format a loss: with fixed decimals if it is below 1000, otherwise with three significant digits, as in `5.5e+19`.

    Args:
        decimals: number of decimals for a loss below 1000.
        sign: whether to put a plus sign before positive numbers, as for a difference.
    """
    form = f".{decimals}f" if abs(value) < 1000 else ".3g"
    return f"{value:{'+' if sign else ''}{form}}"


def bytes_text(count: float) -> str:
    """Format a number of bytes with a decimal unit, as in `12 MB`."""
    unit = 0
    while count >= 999.5 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.3g} {_UNITS[unit]}" if count < 100 else f"{count:.0f} {_UNITS[unit]}"
