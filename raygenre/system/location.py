"""Where a study is kept: a folder that all nodes see, or a URL of a store that pyarrow knows (s3://, gs://, hdfs://).

What is kept at a URL has a working copy on the driver's machine, which counts for nothing: it is made anew from the
store whenever a driver takes the study up, and whatever must not be lost is in the store when a call returns.

An endpoint and a region go into the URL (`s3://BUCKET/PATH?endpoint_override=http://HOST:PORT`); keys never do: they
come from where the store's own tools look for them, such as `AWS_ACCESS_KEY_ID`.
"""

import functools
import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raygenre.errors import RaygenreError
from raygenre.system.atomic_write import write_whole

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://(?P<path>[^?]*)(?P<query>\?.*)?")
_OBJECTS = ("s3", "gcs", "abfs")
"""Stores, as pyarrow calls them, in which an object appears whole under its name and needs no folder."""


class LocationError(RaygenreError, ValueError):
    """A URL at which nothing can be kept; the message says why."""


@dataclass(frozen=True)
class Location:
    """A folder or a URL, as text; folders as absolute paths."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, name: str) -> "Location":
        """What lies below."""
        if not (url := _URL.fullmatch(self.text)):
            return Location(str(Path(self.text) / name))
        return Location(f"{url['scheme']}://{url['path'].rstrip('/')}/{name}{url['query'] or ''}")

    @property
    def remote(self) -> bool:
        """Whether it is a URL."""
        return is_url(self.text)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.folder.name

    @property
    def folder(self) -> Path:
        """The folder; of a URL, that of its working copy on this machine."""
        if not (url := _URL.fullmatch(self.text)):
            return Path(self.text)
        query = f"-{hashlib.sha256(url['query'].encode()).hexdigest()[:8]}" if url["query"] else ""
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return caches / "raygenre" / f"{url['scheme']}{query}" / url["path"].strip("/")

    def check(self) -> None:
        """See that a store can be reached under the URL; of a folder nothing is asked.

        Raises:
            LocationError: pyarrow knows no such store, or the URL holds keys.
            OSError: it does not answer, or has no such bucket.
        """
        if url := _URL.fullmatch(self.text):
            if "@" in url["path"] or ".." in url["path"].split("/") or not url["path"].strip("/"):
                raise LocationError(
                    "a storage's URL is SCHEME://BUCKET/PATH; keys do not belong into it, they are found where the "
                    "store's own tools look for them, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                )
            store, path = _store(self.text)
            bucket = path.partition("/")[0]
            if store.type_name in _OBJECTS and not store.get_file_info(bucket).type:
                raise LocationError(
                    f"there is no bucket {bucket} for {self.text}, or it may not be seen with these keys"
                )

    def names(self) -> list[str]:
        """The names of files and folders that lie there, sorted; none if it is not there at all."""
        if not self.remote:
            return sorted(path.name for path in self.folder.glob("*"))
        return sorted(info.base_name for info in self._entries())

    def files(self) -> list[str]:
        """The names of the files alone."""
        if not self.remote:
            return sorted(path.name for path in self.folder.glob("*") if path.is_file())
        return sorted(info.base_name for info in self._entries() if info.is_file)

    def read(self, name: str) -> bytes:
        """Return a file.

        Raises:
            FileNotFoundError: there is none.
        """
        if not self.remote:
            return (self.folder / name).read_bytes()
        store, path = _store(self.text)
        with store.open_input_stream(f"{path}/{name}") as file:
            data: bytes = file.read()
        return data

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all; a name may have folders.

        Raises:
            OSError: it cannot be written.
        """
        if not self.remote:
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, data)
            return
        store, path = _store(self.text)
        target_path = unfinished = f"{path}/{name}"
        if store.type_name not in _OBJECTS:
            store.create_dir(target_path.rpartition("/")[0], recursive=True)
            unfinished = f"{target_path}.unfinished"
        with store.open_output_stream(unfinished) as file:
            file.write(data)
        if unfinished != target_path:
            store.move(unfinished, target_path)

    def remove(self) -> None:
        """Take away all that lies there, if anything does."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.remote and self.names():
            store, path = _store(self.text)
            store.delete_dir(path)

    def _entries(self) -> list[Any]:
        from pyarrow.fs import FileSelector

        store, path = _store(self.text)
        found: list[Any] = store.get_file_info(FileSelector(path, allow_not_found=True))
        return found


def is_url(text: str) -> bool:
    """Whether a storage is a URL, and no path."""
    return _URL.fullmatch(text) is not None


@functools.cache
def _store(url: str) -> tuple[Any, str]:
    """pyarrow's file system for a URL, and the path in it."""
    from pyarrow.fs import FileSystem

    try:
        return FileSystem.from_uri(url)  # type: ignore[no-any-return]
    except (ValueError, NotImplementedError) as error:
        raise LocationError(
            f"nothing can be kept at {url}: {error}; known are s3://, gs://, abfs:// and hdfs://"
        ) from error
