"""A submitted search as JSON: its options, and the files that the options name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from raygenre.errors import RaygenreError, file_errors
from raygenre.search.options import Options

PATHS = ("data", "split_lists", "duplicates", "artists", "space", "config")
MAX_FILE_BYTES = 4_000_000
PLACEMENT = (
    "data",
    "storage",
    "tracking_uri",
    "cpus_per_trial",
    "gpus_per_trial",
    "max_failures",
    "promote",
    "verbose",
)
"""Options that also apply when a study is resumed; the others are recorded in the study."""


class RequestError(RaygenreError, ValueError):
    """A study cannot be submitted as requested, or was submitted by a different version of raygenre."""


@dataclass(frozen=True)
class Request:
    """A submitted search.

    Attributes:
        options: the options, with absolute paths.
        files: content of the files, by option and name; empty if the driver runs on the submitter's machine.
        ship: whether to send the submitter's package code to the cluster.
        variables: names of environment variables to pass to the study.
    """

    options: Options
    files: Mapping[str, Mapping[str, str]]
    ship: bool
    variables: tuple[str, ...]

    @classmethod
    def of(cls, options: Options, *, with_files: bool, ship: bool, variables: tuple[str, ...]) -> "Request":
        """Return a request whose paths are absolute.

        Args:
            with_files: whether to read the files that the options name; necessary if they do not exist where the driver
                runs.

        Raises:
            FileAccessError: a file cannot be read.
            RequestError: a file is too large.
        """
        given = {name: path for name in PATHS if (path := getattr(options, name))}
        remote = {"data"} if with_files else set()
        paths = {name: path if name in remote else path.expanduser().absolute() for name, path in given.items()}
        files = {name: _read(path) for name, path in paths.items() if with_files and name != "data"}
        return cls(replace(options, **paths, study_url=None, address=None), files, ship, variables)

    def to_json(self) -> str:
        values = {name: _plain(value) for name, value in vars(self.options).items()}
        content = {"options": values, "files": self.files, "ship": self.ship, "variables": self.variables}
        return json.dumps(content, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Request":
        """Read a request.

        Raises:
            RequestError: the request was written by another version of raygenre.
        """
        content = json.loads(text)
        known = {field.name for field in fields(Options)}
        if unknown := content["options"].keys() - known:
            raise RequestError(
                f"the study was submitted by another version of raygenre, with options that this version lacks: "
                f"{', '.join(sorted(unknown))}; install the same version on the cluster and on your machine"
            )
        values = {name: _value(name, value) for name, value in content["options"].items()}
        return cls(Options(**values), content["files"], content["ship"], tuple(content["variables"]))

    def unpacked(self, folder: Path) -> Options:
        """Write the submitted files to a folder, and return the options with the new paths.

        Raises:
            FileAccessError: the folder cannot be written to.
        """
        paths: dict[str, Any] = {}
        with file_errors("the submitted files cannot be written"):
            for name, contents in self.files.items():
                place = folder / name
                place.mkdir(parents=True, exist_ok=True)
                for file, text in contents.items():
                    (place / file).write_text(text)
                paths[name] = place if name == "split_lists" else place / next(iter(contents))
        return replace(self.options, **paths)


def resuming(options: Options) -> Options:
    """Return the options with which a driver resumes a study."""
    kept: dict[str, Any] = {name: getattr(options, name) for name in PLACEMENT}
    return Options(**kept, study=options.study, resume=True, given=options.given & frozenset(PLACEMENT))


def _read(path: Path) -> dict[str, str]:
    with file_errors(f"{path} cannot be submitted"):
        paths = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        for file in paths:
            if file.stat().st_size > MAX_FILE_BYTES:
                raise RequestError(f"{file} cannot be submitted: it is larger than {MAX_FILE_BYTES / 1e6:g} MB")
        return {file.name: file.read_text() for file in paths}


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    return sorted(value) if isinstance(value, frozenset) else value


def _value(name: str, value: Any) -> Any:
    if name in PATHS:
        return value and Path(value)
    if name == "given":
        return frozenset(value)
    return tuple(value) if isinstance(value, list) else value
