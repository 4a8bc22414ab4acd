"""The output of a batch: a folder or URL with Parquet files and a description of the model.

Each file contains the rows of one block of songs and is written atomically, under a name that depends only on the
songs. Therefore, a later run continues where an earlier one ended. If a node is lost, the blocks that are computed
again overwrite their own files.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds
import pyarrow.parquet as pq

from raygenre.batch.errors import BatchError
from raygenre.errors import file_errors
from raygenre.system.location import Location
from raygenre.system.printable import printable

ABOUT = "_raygenre.json"
"""Name of the description; readers of Parquet folders ignore names that start with an underscore."""


@dataclass(frozen=True)
class Output:
    """A folder or URL for the results of a batch."""

    location: Location

    def open(self, model: str, decisive: Mapping[str, Any]) -> None:
        """Write the batch's description to the output, or check that an earlier run's description is the same.

        Args:
            model: name of the model.
            decisive: everything that determines the results, as JSON values. The name is not included, since a model
                may have several names.

        Raises:
            BatchError: the output belongs to another model, or contains files from another program.
            LocationError: the URL is unusable.
            FileAccessError: the output cannot be read or written.
        """
        where = printable(str(self.location))
        with file_errors(f"{where} cannot be written"):
            self.location.check_access()
            names = [name for name in self.location.names() if not name.startswith(".")]
            if not names:
                self.location.write(ABOUT, json.dumps({"model": model, **decisive}, indent=1).encode())
            elif ABOUT not in names:
                raise BatchError(
                    f"{where} contains files that are not batch results, such as {printable(names[0])}; choose a new "
                    "folder or URL with --output"
                )
            elif not self.belongs_to(decisive):
                raise BatchError(
                    f"{where} contains results from another model (see {ABOUT} there); choose a new folder or URL with "
                    "--output"
                )

    def belongs_to(self, decisive: Mapping[str, Any]) -> bool:
        """Return whether the output belongs to a batch with the same `decisive` values.

        Raises:
            OSError: the output cannot be read.
        """
        try:
            stored = json.loads(self.location.read(ABOUT))
        except (FileNotFoundError, ValueError):
            return False
        return isinstance(stored, dict) and all(stored.get(name) == value for name, value in decisive.items())

    def done(self) -> pa.Array:
        """Return the paths of the songs whose rows are stored.

        Raises:
            BatchError: a file is damaged.
            FileAccessError: a file cannot be read.
        """
        store, path = self.location.file_system()
        with self._errors():
            if not (names := self._files()):
                return pa.array([], pa.string())
            files = pds.dataset([f"{path}/{name}" for name in names], filesystem=store, format="parquet")
            window = pds.field("window")
            found = files.to_table(columns=["path"], filter=window.is_null() | (window == 0))
            return found["path"].combine_chunks()

    def forget_failures(self) -> None:
        """Delete the rows with errors, so that their songs are processed again.

        Raises:
            BatchError: a file is damaged.
            FileAccessError: a file cannot be read or written.
        """
        store, path = self.location.file_system()
        with self._errors():
            for name in self._files():
                table = pq.read_table(f"{path}/{name}", filesystem=store)
                kept = table.filter(pc.equal(table["error"], ""))
                if not kept.num_rows:
                    store.delete_file(f"{path}/{name}")
                elif kept.num_rows < table.num_rows:
                    self.location.write(name, _encoded(kept))

    def write(self, table: pa.Table) -> None:
        """Write rows to a file.

        Raises:
            OSError: the file cannot be written.
        """
        paths = json.dumps(sorted(table["path"].unique().to_pylist())).encode()
        self.location.write(f"part-{hashlib.sha256(paths).hexdigest()[:24]}.parquet", _encoded(table))

    def _files(self) -> list[str]:
        return [name for name in self.location.files() if name.endswith(".parquet")]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        where = printable(str(self.location))
        try:
            with file_errors(f"{where} cannot be read or written"):
                yield
        except pa.ArrowInvalid as error:
            raise BatchError(f"a file in {where} is damaged: {error}; delete it and run the command again") from error


def _encoded(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
