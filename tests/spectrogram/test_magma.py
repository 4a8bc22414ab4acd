"""The colour table equals matplotlib's, byte for byte."""

import matplotlib
import numpy as np

from raygenre.spectrogram.magma import MAGMA


def test_table_equals_matplotlibs() -> None:
    theirs = matplotlib.colormaps["magma"](np.arange(256))[:, :3]
    assert MAGMA.dtype == np.uint8
    np.testing.assert_array_equal(MAGMA, np.round(255 * np.asarray(theirs)).astype(np.uint8))


def test_all_colours_differ() -> None:
    assert len({tuple(colour) for colour in MAGMA.tolist()}) == 256


def test_table_is_read_only() -> None:
    assert not MAGMA.flags.writeable
