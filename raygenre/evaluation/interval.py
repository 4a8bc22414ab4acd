"""The 95 % interval of an accuracy; this module imports no large library."""

import math

_Z = 1.959964  # 95 % of a normal distribution lies within this many standard deviations of the mean


def wilson_interval(hits: int, tracks: int) -> tuple[float, float]:
    """Return E. B. Wilson's (1927) 95 % interval for a proportion; it lies between 0 and 1 and is never empty.

    Raises:
        ValueError: there are no tracks, or `hits` is not between 0 and `tracks`.
    """
    if not 0 <= hits <= tracks or tracks == 0:
        raise ValueError(f"expected 0 ≤ hits ≤ tracks and tracks > 0, not {hits} of {tracks}")
    share, z2 = hits / tracks, _Z**2
    centre = (share + z2 / (2 * tracks)) / (1 + z2 / tracks)
    half = _Z * math.sqrt(share * (1 - share) / tracks + z2 / (4 * tracks**2)) / (1 + z2 / tracks)
    return max(0.0, centre - half), min(1.0, centre + half)
