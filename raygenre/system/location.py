"""Storage locations for studies: folders, or URLs of object stores or HDFS.

On a cluster, all nodes must have access to the folder. URLs may have any scheme that pyarrow supports (s3://, gs://,
abfs://, hdfs://). A study at a URL has a disposable working copy on the driver's machine, which is rebuilt from the
store whenever a driver opens the study. Data that must not be lost is written to the store before a call returns.

The endpoint and the region are part of the URL (`s3://BUCKET/PATH?endpoint_override=http://HOST:PORT`). Credentials are
not part of the URL: they are read from the places where the store's own tools look for them, such as the variable
`AWS_ACCESS_KEY_ID`.
"""

import functools
import hashlib
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raygenre.errors import RaygenreError
from raygenre.system.atomic_write import write_atomically

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://(?P<path>[^?]*)(?P<query>\?.*)?")
_OBJECTS = ("s3", "gcs", "abfs")
"""pyarrow's names for object stores, where writes are atomic and no folders need to be created."""


class LocationError(RaygenreError, ValueError):
    """A URL cannot be used as storage."""


@dataclass(frozen=True)
class Location:
    """A folder (as an absolute path) or a URL."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, name: str) -> "Location":
        """Return a location below this one."""
        if not (url := _URL.fullmatch(self.text)):
            return Location(str(Path(self.text) / name))
        return Location(f"{url['scheme']}://{url['path'].rstrip('/')}/{name}{url['query'] or ''}")

    @property
    def is_remote(self) -> bool:
        """Whether this location is a URL."""
        return is_url(self.text)

    @property
    def name(self) -> str:
        """The last component of the path."""
        return self.folder.name

    @property
    def folder(self) -> Path:
        """The folder itself, or a URL's working copy on this machine."""
        if not (url := _URL.fullmatch(self.text)):
            return Path(self.text)
        query = f"-{hashlib.sha256(url['query'].encode()).hexdigest()[:8]}" if url["query"] else ""
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return caches / "raygenre" / f"{url['scheme']}{query}" / url["path"].strip("/")

    def check_access(self) -> None:
        """Check that a URL's store is reachable; for a folder, do nothing.

        Raises:
            LocationError: the URL is malformed, contains credentials or has an unsupported scheme, or its bucket is
                missing or inaccessible.
            OSError: the store does not respond.
        """
        if url := _URL.fullmatch(self.text):
            if "@" in url["path"] or ".." in url["path"].split("/") or not url["path"].strip("/"):
                raise LocationError(
                    "invalid storage URL: expected SCHEME://BUCKET/PATH without credentials; set credentials where "
                    "the store's own tools read them, for instance in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                )
            store, path = file_system(self.text)
            bucket = path.partition("/")[0]
            if store.type_name in _OBJECTS and not store.get_file_info(bucket).type:
                raise LocationError(
                    f"the bucket {bucket} of {self.text} does not exist, or the credentials do not allow access to it"
                )

    def names(self) -> list[str]:
        """Return the sorted names of files and folders; an empty list if the location does not exist."""
        if not self.is_remote:
            return sorted(path.name for path in self.folder.glob("*"))
        return sorted(info.base_name for info in self._entries())

    def files(self) -> list[str]:
        """Return the sorted names of files, without folders."""
        if not self.is_remote:
            return sorted(path.name for path in self.folder.glob("*") if path.is_file())
        return sorted(info.base_name for info in self._entries() if info.is_file)

    def total_bytes(self) -> int:
        """Return the total size of all files at and below this location; 0 if it does not exist.

        Raises:
            OSError: the store does not respond.
        """
        if not self.is_remote:
            total = 0
            for folder, _, files in os.walk(self.folder):
                for file in files:
                    with suppress(FileNotFoundError):  # deleted in the meantime
                        total += Path(folder, file).lstat().st_size
            return total
        return sum(info.size for info in self._entries(recursive=True) if info.is_file)

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            FileNotFoundError: the file does not exist.
        """
        if not self.is_remote:
            return (self.folder / name).read_bytes()
        store, path = file_system(self.text)
        with store.open_input_stream(f"{path}/{name}") as file:
            data: bytes = file.read()
        return data

    def write(self, name: str, data: bytes) -> None:
        """Write a file atomically; `name` may contain folders, which are created.

        Raises:
            OSError: the file cannot be written.
        """
        if not self.is_remote:
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, data)
            return
        store, path = file_system(self.text)
        target_path = unfinished = f"{path}/{name}"
        if store.type_name not in _OBJECTS:
            store.create_dir(target_path.rpartition("/")[0], recursive=True)
            unfinished = f"{target_path}.unfinished"
        with store.open_output_stream(unfinished) as file:
            file.write(data)
        if unfinished != target_path:
            store.move(unfinished, target_path)

    def file_system(self) -> tuple[Any, str]:
        """Return pyarrow's file system for this location, and the path within that file system."""
        if self.is_remote:
            return file_system(self.text)
        from pyarrow.fs import LocalFileSystem

        return LocalFileSystem(), str(self.folder)

    def remove(self) -> None:
        """Delete the location and everything below it, if it exists."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.is_remote and self.names():
            store, path = file_system(self.text)
            store.delete_dir(path)

    def _entries(self, *, recursive: bool = False) -> list[Any]:
        from pyarrow.fs import FileSelector

        store, path = file_system(self.text)
        entries: list[Any] = store.get_file_info(FileSelector(path, allow_not_found=True, recursive=recursive))
        return entries


def is_url(text: str) -> bool:
    """Return whether a storage is a URL rather than a path."""
    return _URL.fullmatch(text) is not None


@functools.cache
def file_system(url: str) -> tuple[Any, str]:
    """Return pyarrow's file system for a URL, and the path within that file system.

    Raises:
        LocationError: the URL is malformed or has an unsupported scheme.
    """
    from pyarrow.fs import FileSystem

    try:
        return FileSystem.from_uri(url)  # type: ignore[no-any-return]
    except (ValueError, NotImplementedError) as error:
        raise LocationError(f"unsupported storage URL {url}: {error}; use s3://, gs://, abfs:// or hdfs://") from error
