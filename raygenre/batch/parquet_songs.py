"""Songs that Parquet files refer to or contain.

A column of a Parquet file contains either paths and URLs, or the content of files. In the second case, the songs' names
come from the column `path`; if there is no such column, or if it holds the content, the names are `FILE#ROW`.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raygenre.batch.errors import BatchError
from raygenre.batch.song_table import SCHEMA, of_files
from raygenre.batch.stores import Stores
from raygenre.system.location import is_url
from raygenre.system.printable import exact, printable

DEFAULT_COLUMN = "path"
"""Column that contains the songs by default."""

_SUFFIX = ".parquet"
_ROWS_AT_ONCE = 8  # rows of content that a worker keeps in memory


def is_parquet(source: str) -> bool:
    """Return whether a source's name is that of a Parquet file or of a folder of Parquet files."""
    return PurePosixPath(source.partition("?")[0] if is_url(source) else source).suffix.lower() == _SUFFIX


def songs_of(source: str, stores: Stores, column: str) -> list["pa.Table"]:
    """Return the songs of a Parquet file, or of all Parquet files below a folder or URL.

    Raises:
        BatchError: there are no Parquet files, or a file lacks the column.
        OSError: a file cannot be read.
    """
    files = _parquet_files(source, stores)
    if not files:
        raise BatchError(f"{printable(source)} contains no Parquet file")
    tables = []
    for name in files:
        with _opened(name, stores) as file:
            kind = _column_type(file, name, column)
            names = DEFAULT_COLUMN if DEFAULT_COLUMN in file.schema_arrow.names else ""
            if pa.types.is_string(kind) or pa.types.is_large_string(kind):
                paths = [path for path in file.read([column])[column].to_pylist() if path]
                tables.append(of_files(paths, [path if is_url(path) else Path(path) for path in paths]))
            else:
                tables += [
                    _of_rows(file, name, group, names if names != column else "")
                    for group in range(file.num_row_groups)
                ]
    return tables


def contents(block: "pa.Table", stores: Stores, column: str) -> Iterator[tuple[str, Path | str | bytes]]:
    """Yield the name of each song in a block, and its path, URL or content. Runs in a worker.

    Content is read a few rows at a time. If the Parquet file cannot be read, the error that is raised applies to
    all remaining songs.

    Raises:
        OSError: the Parquet file cannot be read.
    """
    rows = block.to_pylist()
    if not rows or rows[0]["group"] is None:
        for row in rows:
            file = os.fsdecode(row["file"])
            yield row["path"], file if is_url(file) else Path(file)
        return
    wanted = {row["row"]: row["path"] for row in rows}
    with _opened(os.fsdecode(rows[0]["file"]), stores) as file:
        first = 0
        for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[rows[0]["group"]], columns=[column]):
            for number, content in enumerate(batch.column(0), start=first):
                if number in wanted:
                    yield wanted[number], content.as_py() or b""
            first += len(batch)
            if first > max(wanted):
                return


def _parquet_files(source: str, stores: Stores) -> list[str]:
    if is_url(source):
        found = [file.url for file in stores.files(source)]
        root = source.partition("?")[0].rstrip("/")
    else:
        path = Path(source).absolute()
        found = [str(file) for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [str(path)]
        root = str(path)
    inside = [(file, file.removeprefix(root).lstrip("/")) for file in found]
    return [
        file
        for file, name in inside
        if not name or (name.lower().endswith(_SUFFIX) and not re.search(r"(^|/)[._]", name))
    ]


def _column_type(file: pq.ParquetFile, name: str, column: str) -> Any:
    """Return the type of a column with paths or content.

    Raises:
        BatchError: the file lacks this column.
    """
    types = dict(zip(file.schema_arrow.names, file.schema_arrow.types, strict=True))
    kind = types.get(column)
    checks = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    if kind is None or not any(check(kind) for check in checks):
        problem = f"its column {column} has the type {kind}" if kind else f"it has no column {column}"
        raise BatchError(
            f"{printable(name)}: {printable(problem)}; with --column, choose one that contains paths or files: "
            f"{printable(', '.join(types))}"
        )
    return kind


def _of_rows(file: pq.ParquetFile, name: str, group: int, names: str) -> "pa.Table":
    """Return the songs in a row group, with names from the column `names` or, if `names` is empty, as `FILE#ROW`."""
    count = file.metadata.row_group(group).num_rows
    first = sum(file.metadata.row_group(earlier).num_rows for earlier in range(group))
    fallback = [f"{exact(name)}#{first + row}" for row in range(count)]
    given = file.read_row_group(group, [names])[names].to_pylist() if names else fallback
    paths = [str(path or other) for path, other in zip(given, fallback, strict=True)]
    return pa.table([paths, [os.fsencode(name)] * count, [group] * count, list(range(count))], schema=SCHEMA)


@contextmanager
def _opened(name: str, stores: Stores) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file at a path or URL.

    Raises:
        BatchError: the file is damaged or is not a Parquet file.
        OSError: the file cannot be read.
    """
    try:
        with stores.open(name) if is_url(name) else Path(name).open("rb") as stream:
            yield pq.ParquetFile(stream)
    except pa.ArrowInvalid as error:
        raise BatchError(f"{printable(name)} is not a complete Parquet file: {error}") from error
