"""The list of words to avoid, the check for them, and the length of the tests' names."""

import re
from pathlib import Path

import pytest

from scripts import check_words


def test_no_file_has_a_word_to_avoid(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_words.main([]) == 0, capsys.readouterr().out


def test_occurrences_are_printed_with_line_and_replacement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    word = "ane" + "w"
    page = tmp_path / "page.md"
    page.write_text(f"A sentence.\nIt is written {word}.\ndef test_written_{word}_twice\nrenewed, {word}comer\n")
    assert check_words.main([str(tmp_path)]) == 2
    printed = capsys.readouterr().out.splitlines()
    assert printed == [f"{page}:{number}: '{word}', write: again, from scratch" for number in (2, 3)]


def test_names_of_tests_have_at_most_60_characters() -> None:
    text = "\n".join(path.read_text() for path in (check_words.ROOT / "tests").rglob("*.py"))
    assert [name for name in re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE) if len(name) > 60] == []
