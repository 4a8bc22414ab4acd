"""Check code and documents for the words that scripts/words.txt lists.

Run, from the project's folder:
    python3 scripts/check_words.py                # all checked folders
    python3 scripts/check_words.py serve docs     # these files and folders

Prints each occurrence and its replacement on one line, and exits with status 1 if it finds any.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORDS = Path(__file__).with_name("words.txt")
SUFFIXES = {".md", ".py", ".html", ".jinja", ".js", ".yaml", ".yml"}
SKIPPED_FOLDERS = {".venv", ".git", "results", "build", "__pycache__", "node_modules"}

# Values that are stored in tags of registered versions and must therefore not change.
NAMES = ('"nobody"',)


def main(arguments: Iterable[str]) -> int:
    """Print all occurrences, and return their number."""
    problems = [problem for path in files(list(arguments)) for problem in check(path)]
    for problem in problems:
        print(problem)
    return len(problems)


def files(arguments: list[str]) -> list[Path]:
    """Return the files to check: the given files and folders, or all of them."""
    roots = [Path(argument).resolve() for argument in arguments] or [ROOT]
    paths = {path for root in roots for path in ([root] if root.is_file() else root.rglob("*"))}
    paths = {path for path in paths if path.suffix in SUFFIXES and not SKIPPED_FOLDERS & set(path.parts)}
    return sorted(paths)


def check(path: Path) -> Iterator[str]:
    """Yield a line for each word to avoid, with its location and its replacement."""
    replacements, pattern = dictionary(), any_word()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        for name in NAMES:
            line = line.replace(name, "")
        for word in pattern.findall(line.replace("_", " ")):
            place = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
            yield f"{place}:{number}: {word!r}, write: {replacements[word.lower()]}"


@cache
def any_word() -> re.Pattern[str]:
    """Return a pattern that matches all words to avoid and prefers the longest match."""
    words = sorted(map(re.escape, dictionary()), key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(words)})\b", re.IGNORECASE)


@cache
def dictionary() -> dict[str, str]:
    """Return the words to avoid, each with its replacement."""
    lines = (line.strip() for line in WORDS.read_text().splitlines())
    pairs = (line.partition(" -> ") for line in lines if line and not line.startswith("#"))
    return {word: better for word, _, better in pairs}


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
