"""The files that a driver writes itself, of a study that is kept at a URL: here to work with, and in the store to last.

They are the files at the top of the study's folder. Training states below it are written into the store by whoever
trains, and are not brought here. Of a study that is kept in a folder there is nothing to do.
"""

import shutil
from pathlib import Path

from raygenre.system.location import Location


class WorkingCopy:
    """One study's files."""

    def __init__(self, place: Location, *, without: tuple[str, ...]) -> None:
        """Files named in `without` are this machine's alone."""
        self._place = place
        self._without = without
        self._kept: dict[str, tuple[int, int]] = {}  # time and size of each file when it was kept

    def renew(self) -> None:
        """Make the working copy what the store has; what a driver left here before counts for nothing.

        Raises:
            OSError: the store does not answer.
        """
        if not self._place.remote:
            return
        folder = self._place.folder
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in self._without:
                path.unlink()
        self._kept = {}
        for name in self._place.files():
            (folder / name).write_bytes(self._place.read(name))
            self._kept[name] = _signature(folder / name)

    def keep(self) -> None:
        """Have the store hold what has changed here.

        A file to which another thread adds is kept up to a line that may not be whole, as a kill would leave it.

        Raises:
            OSError: the store does not take it.
        """
        if not self._place.remote:
            return
        for path in sorted(self._place.folder.iterdir()):
            if path.name in self._without or path.name.startswith(".") or not path.is_file():
                continue
            now = _signature(path)
            if self._kept.get(path.name) != now:
                self._place.write(path.name, path.read_bytes())
                self._kept[path.name] = now


def _signature(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size
