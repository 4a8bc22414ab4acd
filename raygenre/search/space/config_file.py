"""`run.yaml`: a file with the configuration of a search, for `--config`.

It contains everything except where the search runs and where its results are stored. Command-line options override it.
"""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml

from raygenre.search.space.choices import CONFIG_FILE
from raygenre.search.space.config import SearchConfig
from raygenre.search.space.space import SpaceError, default_entries, parse_entry, unknown_name
from raygenre.search.space.space_file import mapping
from raygenre.system.atomic_write import write_atomically

NAME = CONFIG_FILE
_HEAD = "# The configuration of a search. Run it again with: python experiments/tune.py --config run.yaml\n"


def to_yaml(config: SearchConfig) -> str:
    """Return the text of the file, which contains the whole space."""
    content = asdict(config) | {"space": default_entries(config.epochs) | config.space}
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return _HEAD + text


def save(config: SearchConfig, folder: Path) -> None:
    """Write the file to a folder atomically."""
    write_atomically(folder / NAME, to_yaml(config).encode())


def read(path: Path) -> dict[str, Any]:
    """Read a file, and return the fields of a `SearchConfig`.

    Raises:
        SpaceError: the file is missing or incomplete, or has unknown names or invalid values.
    """
    content, lines = mapping(path)
    names = [field.name for field in fields(SearchConfig)]
    for name in content:
        if name not in names:
            raise SpaceError(f"{path}, line {lines[name]}: {unknown_name(name, names)}")
    missing = [name for name in names[: names.index("space")] if name not in content]
    if missing:
        raise SpaceError(f"{path} is incomplete: {', '.join(missing)} missing; use the {NAME} of a study")
    try:
        space = content.get("space") or {}
        content["space"] = {name: parse_entry(name, entry) for name, entry in space.items()}  # type: ignore[attr-defined]
        config = SearchConfig(**content)  # type: ignore[arg-type]
    except (ValueError, TypeError, AttributeError) as error:
        raise SpaceError(f"{path}: {error}") from error
    # The default space depends on the number of epochs, which an option may change, so only the entries that differ
    # from the defaults are returned.
    defaults = default_entries(config.epochs)
    entries = {name: entry for name, entry in config.space.items() if entry != defaults.get(name)}
    return dict(content) | {"space": entries}
