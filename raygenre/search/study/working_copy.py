"""The driver's local copy of its own files, for a study at a URL.

The driver's own files are those at the top level of the study's folder. The training states in its subfolders are not
copied, because the workers write them directly to the store. For a study in a local folder, nothing is copied.
"""

import shutil
from pathlib import Path

from raygenre.system.location import Location


class WorkingCopy:
    """The local copy of one study's files."""

    def __init__(self, location: Location, *, exclude: tuple[str, ...]) -> None:
        """Create the copy; files named in `exclude` stay on this machine."""
        self._location = location
        self._exclude = exclude
        self._uploaded: dict[str, tuple[int, int]] = {}  # modification time and size of each file when it was uploaded

    def download(self) -> None:
        """Replace the local files with those in the store, and delete files left by an earlier driver.

        Raises:
            OSError: the store is unreachable.
        """
        if not self._location.is_remote:
            return
        folder = self._location.folder
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in self._exclude:
                path.unlink()
        self._uploaded = {}
        for name in self._location.files():
            (folder / name).write_bytes(self._location.read(name))
            self._uploaded[name] = _signature(folder / name)

    def upload(self) -> None:
        """Upload the files that have changed since the last upload.

        If another thread is appending to a file, the last line of the uploaded file may be incomplete, as can
        happen when a driver is killed.

        Raises:
            OSError: the store cannot be written to.
        """
        if not self._location.is_remote:
            return
        for path in sorted(self._location.folder.iterdir()):
            if path.name in self._exclude or path.name.startswith(".") or not path.is_file():
                continue
            signature = _signature(path)
            if self._uploaded.get(path.name) != signature:
                self._location.write(path.name, path.read_bytes())
                self._uploaded[path.name] = signature


def _signature(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size
