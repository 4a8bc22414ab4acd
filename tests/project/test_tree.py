"""The tree of packages and modules in ARCHITECTURE.md."""

from pathlib import Path

from scripts import tree

LONGEST_SUMMARY = 90
"""Maximum length of a summary, in characters, so that no line of the tree exceeds 120 characters."""


def test_tree_in_architecture_is_current() -> None:
    page = tree.PAGE.read_text()
    assert page == tree.page_with_tree(page), "run: python scripts/tree.py --write"


def test_every_module_has_a_short_summary() -> None:
    problems = {}
    for name in tree.IN_FULL:
        for path in sorted((tree.ROOT / name).rglob("*.py")):
            length = len(tree.summary(path))
            if not 0 < length <= LONGEST_SUMMARY:
                problems[str(path.relative_to(tree.ROOT))] = length
    assert not problems, f"the first line of the docstring must have 1 to {LONGEST_SUMMARY} characters, not {problems}"


def test_summaries_are_unique() -> None:
    paths = [path for name in tree.IN_FULL for path in (tree.ROOT / name).rglob("*.py")]
    by_summary: dict[str, list[Path]] = {}
    for path in paths:
        by_summary.setdefault(tree.summary(path), []).append(path)
    assert not [same for same in by_summary.values() if len(same) > 1]
