"""Formats numbers of any size in a few characters."""


def loss_text(value: float, *, decimals: int = 3, sign: bool = False) -> str:
    """Format a loss: with decimals up to 1000, with three significant digits above, such as `5.5e+19`.

    Args:
        decimals: number of decimals of a loss below 1000.
        sign: whether positive numbers get a plus sign, as for a difference.
    """
    form = f".{decimals}f" if abs(value) < 1000 else ".3g"
    return f"{value:{'+' if sign else ''}{form}}"
