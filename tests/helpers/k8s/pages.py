"""Reads the documentation about Kubernetes, and the kustomizations in its examples."""

import re
from pathlib import Path
from typing import Any

import yaml

from k8s.check.rendering import ROOT
from tests.helpers.markdown import blocks, commands

README = ROOT / "k8s" / "README.md"
FOLDER = ROOT / "docs" / "kubernetes"
PAGES = [README, *sorted(FOLDER.glob("*.md"))]
TEXT = "\n".join(path.read_text() for path in PAGES)
"""The text of all pages."""


def page(name: str) -> Path:
    """Return the path of a page in docs/kubernetes."""
    return FOLDER / f"{name}.md"


def steps(path: Path, prefix: str) -> list[str]:
    """Return the commands on a page that start with a prefix, in the order of the page."""
    return [command for command in commands(path) if command.startswith(prefix)]


def examples(path: Path) -> dict[str, list[Any]]:
    """Return the objects of the YAML files on a page, keyed by the file name in each file's leading comment.

    A file may be shown several times with different content; all versions are returned in order.
    """
    found: dict[str, list[Any]] = {}
    for block in (one for one in blocks(path) if one.language == "yaml"):
        for name, text in re.findall(r"^# (\S+\.yaml)\b.*\n((?:(?!# \S+\.yaml).*\n)+)", block.text, re.MULTILINE):
            found[name] = [*found.get(name, []), *yaml.safe_load_all(text)]
    return found
