"""Reads a search space from a YAML file such as experiments/space.yaml.

Hyperparameters that the file does not list keep their default entries. Error messages state the file, line, cause and
fix.
"""

from pathlib import Path

import yaml

from raygenre.errors import reason_of
from raygenre.search.space.space import Entry, SpaceError, parse_entry


def read(path: Path) -> dict[str, Entry]:
    """Read a search space.

    Raises:
        SpaceError: the file is missing, empty or not YAML, or contains an unknown name or an invalid entry.
    """
    entries: dict[str, Entry] = {}
    content, lines = mapping(path)
    for name, raw in content.items():
        if name == "network":
            raise SpaceError(f"{path}, line {lines[name]}: --model sets the network; remove the line")
        try:
            entries[name] = parse_entry(name, raw)
        except SpaceError as error:
            raise SpaceError(f"{path}, line {lines[name]}: {error}") from error
    if not entries:
        raise SpaceError(f"{path} is empty; add a line such as `dropout: {{low: 0.1, high: 0.6}}`")
    return entries


def mapping(path: Path) -> tuple[dict[str, object], dict[str, int]]:
    """Read a YAML mapping, and return it with the line number of each name.

    Raises:
        SpaceError: the file is missing, not YAML or not a mapping, or contains a name twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"{path} cannot be read ({reason_of(error)}); specify a YAML file") from error
    try:
        content = yaml.safe_load(text)
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise SpaceError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}, {}
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise SpaceError(f"{path} must contain lines such as `dropout: {{low: 0.1, high: 0.6}}`")
    lines: dict[str, int] = {}
    for key, _ in tree.value:
        line = key.start_mark.line + 1
        if key.value in lines:
            first = f"{key.value} is already defined in line {lines[key.value]}"
            raise SpaceError(f"{path}, line {line}: {first}; remove one")
        lines[key.value] = line
    return content, lines
