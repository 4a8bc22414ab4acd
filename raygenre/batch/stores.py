"""List files at URLs in any store that pyarrow supports, and open them for reading.

A file's URL has no options: any text after a `?` is part of the file's name. The options of a store, such as the
endpoint in `s3://BUCKET/PATH?endpoint_override=http://HOST:PORT`, are specified only in the URL of the source.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from raygenre.system.location import Location, LocationError, file_system, is_url

_MAX_SUFFIX = 10  # characters; if a file's suffix is longer, its temporary copy has none


@dataclass(frozen=True)
class StoredFile:
    """A file in a store.

    Attributes:
        url: its URL without options.
        modified_ns: time of its last modification in ns since 1970; 0 if the store does not report it.
    """

    url: str
    modified_ns: int


@dataclass(frozen=True)
class Stores:
    """The options of stores, by URL scheme.

    Attributes:
        options: scheme → options of its URLs, including the `?`; a scheme without options may be omitted.
    """

    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, urls: Sequence[str]) -> "Stores":
        """Return the stores for the given sources, whose URLs may include options.

        Raises:
            LocationError: two URLs with the same scheme have different options.
        """
        options: dict[str, str] = {}
        for url in filter(is_url, urls):
            scheme = url.partition("://")[0]
            query = "".join(url.partition("?")[1:])
            if options.setdefault(scheme, query) != query:
                raise LocationError(
                    f"all {scheme}:// sources must have the same options, not {options[scheme] or 'none'} and "
                    f"{query or 'none'}; run the command once for each store"
                )
        return cls(options)

    def files(self, url: str) -> list[StoredFile]:
        """Return the files at and below a source's URL, sorted; an empty list if there are none.

        Raises:
            LocationError: the URL is malformed, or its bucket is missing or inaccessible.
            OSError: the store does not respond.
        """
        from pyarrow.fs import FileSelector, FileType

        Location(url).check_access()
        url = url.partition("?")[0].rstrip("/")
        store, path = self._find(url)
        info = store.get_file_info(path)
        if info.type is FileType.File:
            return [StoredFile(url, info.mtime_ns or 0)]
        below = store.get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
        files = [
            StoredFile(f"{url}/{PurePosixPath(info.path).relative_to(path)}", info.mtime_ns or 0)
            for info in below
            if info.is_file
        ]
        return sorted(files, key=lambda file: file.url)

    def open(self, url: str) -> Any:
        """Open a file as a seekable binary pyarrow stream.

        Raises:
            OSError: the file does not exist or cannot be read.
        """
        store, path = self._find(url)
        return store.open_input_file(path)

    @contextmanager
    def local_copy(self, file: Path | str | bytes, name: str) -> Iterator[Path]:
        """Yield the path of a local file: the file itself, or a temporary copy of a remote file or of content.

        Copies are made on disk, so that memory use does not grow with the file's size.

        Args:
            file: path, URL or content.
            name: the file's name. The copy has the same suffix, which helps to identify the format of its tags.

        Raises:
            OSError: the file cannot be read, or the copy cannot be written.
        """
        if isinstance(file, Path):
            yield file
            return
        suffix = PurePosixPath(name).suffix
        with tempfile.NamedTemporaryFile(suffix=suffix if len(suffix) <= _MAX_SUFFIX else "") as copy:
            if isinstance(file, bytes):
                copy.write(file)
            else:
                with self.open(file) as stream:
                    shutil.copyfileobj(stream, copy, 1 << 20)
            copy.flush()
            yield Path(copy.name)

    def _find(self, url: str) -> tuple[Any, str]:
        """Return pyarrow's file system for a file's URL, and the path within that file system."""
        scheme, _, rest = url.partition("://")
        host, _, name = rest.partition("/")
        store, root = file_system(f"{scheme}://{host}/{self.options.get(scheme, '')}")
        return store, f"{root.rstrip('/')}/{name}"
