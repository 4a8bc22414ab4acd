"""Read the variables of a TensorFlow checkpoint without TensorFlow.

A checkpoint has two files. `.index` is a table in LevelDB's format. Its keys are the variables' names, and its values
are protocol buffers of the type BundleEntryProto. `.data-00000-of-00001` holds the values, one variable after the
other. Sources: LevelDB, doc/table_format.md; TensorFlow, core/protobuf/tensor_bundle.proto. Only checkpoints with one
data file, little-endian float32 values and uncompressed blocks are supported.

A table is a sequence of blocks, followed by a footer of 48 bytes, which contains the position of the index block. The
index block's values are the positions of the blocks with the entries. An entry begins with three numbers: how many
bytes its key shares with the previous key, how many more bytes the key has, and how many bytes the value has. These
bytes of the key follow, and then the bytes of the value. The last entry is followed by the positions from which a
reader can start and by the number of these positions, all as 4-byte integers. Other numbers are varints: each byte
holds seven bits, lowest first, and its eighth bit indicates whether more bytes follow.
"""

import math
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from raygenre.errors import RaygenreError

MAGIC = 0xDB4775248B80FB57
FOOTER = 48  # bytes
FLOAT = 1  # TensorFlow's number for float32

_DTYPE, _SHAPE, _SHARD, _OFFSET, _SIZE = 1, 2, 3, 4, 5  # fields of BundleEntryProto
_DIMENSION, _DIMENSION_SIZE = 2, 1  # fields of TensorShapeProto and of its dimensions
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types of protocol buffers


class CheckpointError(RaygenreError, ValueError):
    """A file is not a checkpoint that this module can read. The message explains why."""


def read_checkpoint(index: bytes, data: bytes) -> dict[str, NDArray[np.float32]]:
    """Return all variables of a checkpoint by name.

    Args:
        index: content of the file `.index`.
        data: content of the file `.data-00000-of-00001`.

    Raises:
        CheckpointError: the files are damaged or of an unsupported kind.
    """
    try:
        return {
            key.decode(): _variable(key.decode(), value, data)
            for key, value in read_table(index)
            if key  # the entry without a name describes the checkpoint
        }
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise CheckpointError(f"the checkpoint is damaged ({error}); download its files again") from error


def read_table(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a table in LevelDB's format, in the order of the keys.

    Raises:
        CheckpointError: the bytes are not a table, or a block is compressed.
        IndexError, struct.error: the table is damaged.
    """
    footer = table[-FOOTER:]
    if len(footer) < FOOTER or struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise CheckpointError("the checkpoint's index is not a table in LevelDB's format; download its files again")
    _, _, position = _handle(footer, 0)  # skip the block that describes the table
    start, size, _ = _handle(footer, position)
    for _, value in _entries(table, start, size):
        yield from _entries(table, *_handle(value, 0)[:2])


def _entries(table: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of the block with `size` bytes at `start`."""
    if table[start + size]:  # the byte after the block states its compression; a checksum of four bytes follows
        raise CheckpointError("the checkpoint's index is compressed, which is not supported; download its files again")
    block = table[start : start + size]
    [restarts] = struct.unpack("<I", block[-4:])
    end = size - 4 * (restarts + 1)
    position, key = 0, b""
    while position < end:
        shared, position = _varint(block, position)
        added, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + added]
        position += added
        yield key, block[position : position + length]
        position += length


def _variable(name: str, entry: bytes, data: bytes) -> NDArray[np.float32]:
    """Return the values that a BundleEntryProto describes."""
    fields = dict(_fields(entry))
    dimensions = [value for field, value in _fields(_message(fields.get(_SHAPE, b""))) if field == _DIMENSION]
    shape = tuple(_number(dict(_fields(_message(dimension))), _DIMENSION_SIZE) for dimension in dimensions)
    offset, size = _number(fields, _OFFSET), _number(fields, _SIZE)
    if _number(fields, _DTYPE) != FLOAT or _number(fields, _SHARD):
        raise CheckpointError(f"the checkpoint's variable {name} is not float32 in the first data file")
    if size != 4 * math.prod(shape) or offset + size > len(data):
        problem = f"the checkpoint's variable {name} is not completely contained in its data file"
        raise CheckpointError(f"{problem}; download its files again")
    return np.frombuffer(data, dtype="<f4", count=size // 4, offset=offset).reshape(shape)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (number, value) for each field of a protocol buffer."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
            yield tag >> 3, value
            continue
        if kind == _BYTES:
            size, position = _varint(message, position)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise CheckpointError(f"the checkpoint's index has a field with the unknown wire type {kind}")
        yield tag >> 3, message[position : position + size]
        position += size


def _number(fields: dict[int, int | bytes], field: int) -> int:
    """Return a field's integer; a missing field has the value 0, the default in protocol buffers."""
    value = fields.get(field, 0)
    if not isinstance(value, int):
        raise CheckpointError(f"the checkpoint's index has bytes in field {field}, which must be a number")
    return value


def _message(value: int | bytes) -> bytes:
    """Return a field's value, which must itself be a protocol buffer."""
    if isinstance(value, int):
        raise CheckpointError(f"the checkpoint's index has the number {value} where a message is expected")
    return value


def _handle(message: bytes, position: int) -> tuple[int, int, int]:
    """Return a block's start and size, and the position after them."""
    start, position = _varint(message, position)
    size, position = _varint(message, position)
    return start, size, position


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """Return the varint at a position, and the position after it."""
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
