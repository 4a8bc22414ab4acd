"""TensorFlow checkpoints are read completely, and damaged ones are refused."""

import re

import numpy as np
import pytest

from raygenre.pretrained.tensorflow_checkpoint import CheckpointError, read_checkpoint, read_table
from tests.helpers.musicnn import checkpoint, random_variables, table


@pytest.mark.parametrize("block_size", [1, 200, 1 << 20])
def test_all_variables_come_back(block_size: int) -> None:
    variables = {**random_variables(), "step": np.full((), 3, dtype=np.float32)}
    found = read_checkpoint(*checkpoint(variables, block_size=block_size))
    assert found.keys() == variables.keys()
    for name, values in variables.items():
        np.testing.assert_array_equal(found[name], values)


def test_a_table_in_leveldbs_format() -> None:
    """The table is written byte by byte according to LevelDB's description of the format."""
    block = b"\0\4\1axis1\2\2\1es2" + b"\0\0\0\0\1\0\0\0"  # axis: 1, axes: 2; one restart, at 0
    describes = b"\0\0\0\0\1\0\0\0"
    index = b"\0\1\2b\0\x16" + b"\0\0\0\0\1\0\0\0"  # all keys up to b are in the 22-byte block at 0
    checksum = b"\0\0\0\0\0"
    body = block + checksum + describes + checksum + index + checksum
    footer = bytes([27, 8, 40, 14]).ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")
    assert len(block) == 0x16
    assert list(read_table(body + footer)) == [(b"axis", b"1"), (b"axes", b"2")]


def test_damaged_files_are_refused() -> None:
    index, data = checkpoint(random_variables())
    with pytest.raises(CheckpointError, match="not a table in LevelDB's format"):
        read_checkpoint(index[:-1], data)
    with pytest.raises(CheckpointError, match="not completely contained in its data file"):
        read_checkpoint(index, data[:-4])
    for position in range(len(index) - 48, len(index) - 8):  # in the footer, which contains the position of the index
        broken = index[:position] + b"\x7f" + index[position + 1 :]
        try:
            read_checkpoint(broken, data)
        except CheckpointError as error:
            assert re.search("damaged|compressed|wire type|field", str(error))  # noqa: PT017


def test_unsupported_checkpoints_are_refused() -> None:
    compressed = table([(b"name", b"value")], compression=1)
    with pytest.raises(CheckpointError, match="is compressed"):
        list(read_table(compressed))
    with pytest.raises(CheckpointError, match="is not float32"):
        read_checkpoint(*checkpoint(random_variables(), dtype=2))
