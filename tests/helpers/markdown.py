"""Parses the project's documents into code blocks, commands, inline code, headings and links."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.project import ROOT

DOCUMENTS = sorted(
    path for folder in (".", "docs", "docs/kubernetes", "serve", "k8s") for path in ROOT.glob(f"{folder}/*.md")
)
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced code block.

    Attributes:
        language: the word after the fence; empty if there is none.
    """

    language: str
    text: str


def label(path: Path) -> str:
    """Return a document's path in the project, for messages and test ids."""
    return str(path.relative_to(ROOT))


def blocks(path: Path) -> list[Block]:
    """Return all fenced blocks of a document."""
    return [Block(*found) for found in _FENCE.findall(path.read_text())]


def prose(path: Path) -> str:
    """Return a document without its fenced blocks."""
    return _FENCE.sub("", path.read_text())


def commands(path: Path) -> list[str]:
    """Return each command in the `sh` blocks as a single line, without comments or leading assignments."""
    text = "\n".join(block.text for block in blocks(path) if block.language == "sh")
    lines = (line.strip() for line in re.sub(r"\\\n\s*", "", text).splitlines())
    return [
        re.sub(r"^([A-Z_]+=\S+ +)+", "", re.sub(r"\s+# .*$", "", line)) for line in lines if line and line[0] != "#"
    ]


def inline_code(path: Path) -> list[str]:
    """Return each piece of inline code in a document as a single line."""
    return [" ".join(code.replace("\\|", "|").split()) for code in re.findall(r"`([^`]+)`", prose(path))]


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub generates for a document's headings."""
    titles = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(path: Path) -> list[str]:
    """Return the targets of a document's links and images."""
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", prose(path)))
