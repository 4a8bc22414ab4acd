"""The colour table equals matplotlib's table, byte for byte."""

import matplotlib
import numpy as np

from raygenre.spectrogram.magma import MAGMA, PIXELS, to_levels


def test_table_equals_matplotlibs() -> None:
    theirs = matplotlib.colormaps["magma"](np.arange(256))[:, :3]
    assert MAGMA.dtype == np.uint8
    np.testing.assert_array_equal(MAGMA, np.round(255 * np.asarray(theirs)).astype(np.uint8))


def test_all_colours_differ() -> None:
    assert len({tuple(colour) for colour in MAGMA.tolist()}) == 256


def test_table_is_read_only() -> None:
    assert not MAGMA.flags.writeable


def test_colours_are_inverted_to_their_levels() -> None:
    assert to_levels(PIXELS).tolist() == list(range(256))
    grey = np.array([0xFF808080], dtype=np.uint32)
    assert to_levels(grey).tolist() == [0]
