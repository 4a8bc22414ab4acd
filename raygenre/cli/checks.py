"""Quick checks of arguments.

Commands run these checks before importing Ray, torch or MLflow, which takes several seconds.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raygenre.cli.console import fail
from raygenre.errors import FileAccessError, file_errors
from raygenre.system.location import is_url
from raygenre.system.printable import printable

if TYPE_CHECKING:
    from raygenre.search.options import Options
    from raygenre.system.storage import Storage


def check_data(folder: Path | None) -> None:
    """Check that the folder of a data set exists, if a folder was specified.

    Raises:
        DataError: the folder does not exist.
    """
    from raygenre.data.track_files import check_folder

    if folder:
        check_folder(folder)


def check_readable(path: Path | None, failure: str = "") -> None:
    """Check that a file or folder exists, if a path was specified.

    Args:
        failure: start of the error message; by default, it states that the path cannot be read.

    Raises:
        FileAccessError: the file or folder does not exist.
    """
    if path:
        with file_errors(failure or f"{printable(path)} cannot be read"):
            path.stat()


def check_local(names: Sequence[str]) -> None:
    """Exit with status 2 if a source or an output is a URL; commands support URLs only with Ray."""
    for name in names:
        if is_url(name):
            fail(f"{printable(name)} is a URL; add --address auto for this machine's Ray cluster, or --address local")


def check_output(path: Path | None) -> None:
    """Check that the parent folder of an output file exists, if an output was specified.

    Raises:
        FileAccessError: the parent folder does not exist, or the output itself is a folder.
    """
    if path and path.is_dir():
        raise FileAccessError(f"{printable(path)} cannot be written: it is a folder")
    if path and not path.parent.is_dir():
        problem = f"the folder {printable(path.parent)} does not exist"
        raise FileAccessError(f"{printable(path)} cannot be written: {problem}")


def require_runs(storage: "Storage") -> None:
    """Exit with status 2 if nothing has been logged to the embedded database yet."""
    if not storage.has_runs:
        fail(
            f"there are no runs in {storage.server} yet; choose another --storage or --tracking-uri, or run `make tune`"
        )


def check_search(options: "Options") -> None:
    """Check the storage, Ray's folder, the study's name and the files of a search.

    Raises:
        RaygenreError: an option is unusable.
    """
    from raygenre.search.options import check_numbers
    from raygenre.search.study.names import check_exists, check_name, latest_study
    from raygenre.system.ray_folder import ray_folder
    from raygenre.system.storage import resolve

    check_numbers(options)
    if not options.address:
        ray_folder()  # checks the folder that the private cluster will use
    storage = resolve(options.storage, options.tracking_uri)
    if options.resume:
        storage.studies.check_access()
        check_exists(storage.studies, options.study or latest_study(storage.studies))
    elif options.study:
        check_name(options.study)
    if options.from_studies:
        storage.studies.check_access()
        for study in options.from_studies:
            check_exists(storage.studies, study)
    check_data(options.data)
    for path in (options.space, options.config, options.split_lists, options.duplicates):
        check_readable(path)
