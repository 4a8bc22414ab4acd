"""The songs of a batch as an Arrow table, which uses about 100 bytes per song.

Columns:
- path: the song's name in the results.
- file: the song's path (as bytes, because names need not be UTF-8), its URL, or the Parquet file that contains it.
- group, row: row group in that Parquet file, and row within the group; null for a song that is a separate file.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

SCHEMA = pa.schema([("path", pa.string()), ("file", pa.binary()), ("group", pa.int32()), ("row", pa.int64())])


def of_files(names: Sequence[str], files: Sequence[Path | str]) -> pa.Table:
    """Return the table of songs that are separate files, given as paths on this machine or as URLs."""
    nothing = [None] * len(names)
    places = [os.fsencode(file.absolute() if isinstance(file, Path) else file) for file in files]
    return pa.table([names, places, nothing, nothing], schema=SCHEMA)
