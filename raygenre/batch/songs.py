"""The songs of a batch: found in folders, at URLs, in playlists and in Parquet files.

- Folders and playlists on this machine are read as `raygenre predict` reads them (`raygenre.workflows.sources`).
- Files below a URL are selected by suffix, because opening millions of files would take hours. PNGs count as songs only
  if there are no audio files. Hidden files and known clutter are ignored.
- Parquet files are described in `raygenre.batch.parquet_songs`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from raygenre import audio
from raygenre.batch.parquet_songs import DEFAULT_COLUMN, is_parquet, songs_of
from raygenre.batch.song_table import SCHEMA, of_files
from raygenre.batch.stores import Stores
from raygenre.data.folder_scan import HIDDEN, is_clutter_folder
from raygenre.errors import file_errors
from raygenre.system.location import is_url
from raygenre.system.printable import exact, printable
from raygenre.workflows.sources import expand_sources


@dataclass(frozen=True)
class SongList:
    """The songs of a batch.

    Attributes:
        table: the songs, without duplicates, as in `raygenre.batch.song_table`.
        stores: the stores that the songs' URLs refer to.
        column: column of Parquet files that holds the songs' content.
        skipped, failed, clutter, left_out: as in `raygenre.workflows.sources.Sources`.
    """

    table: pa.Table
    stores: Stores
    column: str = DEFAULT_COLUMN
    skipped: tuple[tuple[str, str], ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    clutter: Counter[str] = field(default_factory=Counter)
    left_out: tuple[tuple[Path, str], ...] = ()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def without(self, done: pa.Array) -> "SongList":
        """Return the songs whose paths are not among `done`."""
        left = pc.invert(pc.is_in(self.table["path"], value_set=done))
        return replace(self, table=self.table.filter(left).combine_chunks())


def find_songs(sources: Sequence[str], column: str = "") -> SongList:
    """Find the songs in the given sources: paths and URLs of songs, folders, playlists and Parquet files.

    Args:
        column: column with paths or content in Parquet files. If it is set, all sources are read as Parquet files or
            folders of Parquet files. Otherwise, only sources whose names end with `.parquet` are read as Parquet files,
            and their column is `path`.

    Raises:
        BatchError: a Parquet source has no such column, or the column has an unsupported type.
        LocationError: a URL is unusable.
        FileAccessError: a store or a Parquet file cannot be read.
    """
    stores = Stores.of(sources)
    found = SongList(SCHEMA.empty_table(), stores, column or DEFAULT_COLUMN)
    tables, failed, clutter = [found.table], list[tuple[str, str]](), Counter[str]()
    parquet = [source for source in sources if column or is_parquet(source)]
    if paths := [Path(source) for source in sources if source not in parquet and not is_url(source)]:
        local = expand_sources(paths)
        tables.append(of_files([exact(path.absolute()) for path in local.songs], local.songs))
        failed += local.failed
        clutter += local.clutter
        found = replace(found, skipped=local.skipped, left_out=local.left_out)
    for source in sources:
        if source in parquet:
            with file_errors(f"{printable(source)} cannot be read"):
                tables += songs_of(source, stores, found.column)
        elif is_url(source):
            with file_errors(f"{printable(source)} cannot be read"):
                files = [file.url for file in stores.files(source)]
            urls, ignored = music_urls(files, source.partition("?")[0])
            clutter += ignored
            tables.append(of_files(urls, urls))
            if not urls:
                failed.append((printable(source), "it contains no audio files"))
    table = _distinct(pa.concat_tables(tables))
    return replace(found, table=table, failed=tuple(failed), clutter=clutter)


def blocks(table: "pa.Table", size: int) -> list["pa.Table"]:
    """Divide a table of songs into parts of at most `size` songs; no part spans two row groups of a Parquet file."""
    groups = zip(table["file"].to_pylist(), table["group"].to_pylist(), strict=True)
    parts, start = [], 0
    for _, run in groupby(groups, key=lambda place: place if place[1] is not None else None):
        end = start + sum(1 for _ in run)
        parts += [table.slice(first, min(size, end - first)) for first in range(start, end, size)]
        start = end
    return parts


def music_urls(urls: Sequence[str], source: str) -> tuple[list[str], Counter[str]]:
    """Return the URLs of the songs at and below a source, and the number of other files by kind."""
    ignored = Counter[str]()
    songs, images = list[str](), list[str]()
    for url in urls:
        name = PurePosixPath(url.removeprefix(source).lstrip("/") or PurePosixPath(url).name)
        suffix = name.suffix.lower()
        if url != source and _is_hidden(str(name)):
            ignored[HIDDEN] += 1
        elif suffix in audio.SUFFIXES or url == source:
            songs.append(url)
        elif suffix == ".png":
            images.append(url)
        else:
            ignored[suffix or "without suffix"] += 1
    if songs and images:
        ignored[".png"] += len(images)
    return songs or images, ignored


def _is_hidden(name: str) -> bool:
    """Return whether a relative name is that of a hidden file, or of a file in a hidden or clutter folder."""
    *folders, file = PurePosixPath(name).parts
    return file.startswith(".") or any(map(is_clutter_folder, folders))


def _distinct(table: "pa.Table") -> "pa.Table":
    """Return a table without the rows that repeat the path of an earlier row."""
    numbered = table.append_column("number", pa.array(range(len(table)), pa.int64()))
    first = numbered.group_by("path", use_threads=False).aggregate([("number", "min")])["number_min"]
    return table.take(first.combine_chunks().sort()).combine_chunks()
