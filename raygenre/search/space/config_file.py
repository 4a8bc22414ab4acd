"""`run.yaml`: a search as it was resolved, kept with the study and in MLflow, to be run again with `--config`.

Everything is in it but for where the search runs and what it is kept in. Options on the command line stand above it.
"""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml

from raygenre.search.space.config import SearchConfig
from raygenre.search.space.space import SpaceError, default_entries, parse_entry, unknown_name
from raygenre.search.space.space_file import mapping
from raygenre.system.atomic_write import write_whole

NAME = "run.yaml"
_HEAD = "# A resolved search; run it again with: python experiments/tune.py --config run.yaml\n"


def to_yaml(config: SearchConfig) -> str:
    """Return a search as the text of a file that says all of it, the space included."""
    everything = asdict(config) | {"space": default_entries(config.epochs) | config.space}
    text: str = yaml.safe_dump(everything, sort_keys=False, allow_unicode=True)
    return _HEAD + text


def save(config: SearchConfig, folder: Path) -> None:
    """Write the file into a folder, whole or not at all."""
    write_whole(folder / NAME, to_yaml(config).encode())


def read(path: Path) -> dict[str, Any]:
    """Read a search back; returns the fields of a `SearchConfig`.

    Raises:
        SpaceError: no such file, a name that no search has, or values that no search can have.
    """
    content, lines = mapping(path)
    known = [field.name for field in fields(SearchConfig)]
    for name in content:
        if name not in known:
            raise SpaceError(f"{path}, line {lines[name]}: {unknown_name(name, known)}")
    missing = [name for name in known[: known.index("space")] if name not in content]
    if missing:
        raise SpaceError(f"{path} is not a whole search: {', '.join(missing)} missing; take a study's own {NAME}")
    try:
        space = content.get("space") or {}
        content["space"] = {name: parse_entry(name, entry) for name, entry in space.items()}  # type: ignore[attr-defined]
        config = SearchConfig(**content)  # type: ignore[arg-type]
    except (ValueError, TypeError, AttributeError) as error:
        raise SpaceError(f"{path}: {error}") from error
    # The default space depends on the epochs, which an option may change: only what differs from it stays.
    usual = default_entries(config.epochs)
    return dict(content) | {"space": {name: entry for name, entry in config.space.items() if entry != usual.get(name)}}
