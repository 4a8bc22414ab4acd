"""Print the tree of packages and modules with the first line of each docstring.

Run, from the project's folder:
    python3 scripts/tree.py             # print the tree
    python3 scripts/tree.py --write     # replace the tree in ARCHITECTURE.md

The source is parsed, not imported.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "ARCHITECTURE.md"
START, END = "<!-- tree: python scripts/tree.py --write -->", "<!-- end of tree -->"

# Packages that are shown with all their modules.
IN_FULL = ("raygenre", "serve", "experiments", "scripts")

# Folders that take up one line each in the tree. A caption, if there is one, replaces the package's docstring.
FOLDERS = {
    "benchmarks": "",
    "k8s": "",
    "tests": "Tests in folders that mirror those of the code; tests/helpers/ has shared code.",
    "docs": "Guides for users, and screenshots of MLflow.",
}
NO_PACKAGES = {"experiments": "Scripts for users, and an example of a search space."}

CAPTION_COLUMN = 30


def tree() -> str:
    """Return the tree, one line per path with its caption, indented by depth."""
    rows = [row for name in IN_FULL for row in folder_rows(ROOT / name, 0)]
    rows += [(f"{name}/", caption or summary(ROOT / name / "__init__.py")) for name, caption in FOLDERS.items()]
    return "\n".join(f"{name:<{CAPTION_COLUMN - 2}}  {caption}" for name, caption in rows)


def folder_rows(folder: Path, depth: int) -> Iterator[tuple[str, str]]:
    """Yield a folder, then its modules, then its packages, each with its caption."""
    package = folder / "__init__.py"
    caption = summary(package) if package.exists() else NO_PACKAGES[folder.name]
    yield f"{'  ' * depth}{folder.name}/", caption
    indent = "  " * (depth + 1)
    for path in sorted(folder.glob("*.py")):
        if path != package:
            yield f"{indent}{path.name}", summary(path)
    for path in sorted(folder.glob("*/__init__.py")):
        yield from folder_rows(path.parent, depth + 1)


def summary(path: Path) -> str:
    """Return the first line of a module's docstring, or an empty string if it has none."""
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    return docstring.partition("\n")[0]


def page_with_tree(page: str) -> str:
    """Return a page with the text between the two markers replaced by the current tree."""
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        sys.exit(f"{PAGE.name} lacks the line {END if start else START}")
    return f"{before}{START}\n```text\n{tree()}\n```\n{END}{after}"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page_with_tree(PAGE.read_text()))
    else:
        print(tree())
