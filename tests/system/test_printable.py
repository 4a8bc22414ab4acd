import os
from pathlib import Path

import pytest

from raygenre.system.printable import exact, printable, printable_lines


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x00\x07\x7f", r"\x00\x07\x7f"),
        ("\x9b31m", r"\u009b31m"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("\u202e3pm.exe", r"\u202e3pm.exe"),
        ("\u2066a\u2069", r"\u2066a\u2069"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
    ],
)
def test_what_a_terminal_would_act_on_is_escaped(name: str, shown: str) -> None:
    assert printable(name) == printable(Path(name)) == printable(printable(name)) == shown
    assert printable_lines(f"{name.replace(chr(10), '')}\nnext") == shown.replace(r"\n", "") + "\nnext"


@pytest.mark.parametrize(
    "name",
    ["Bj\u00f6rk", "cafe\u0301", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f468\u200d\U0001f3a4",
     "[bold]x", r"a\x1b", "a\u00a0b", "\ufeffa"],
)  # fmt: skip
def test_ordinary_text_of_any_script_is_kept(name: str) -> None:
    assert printable(name) == printable_lines(name) == exact(name) == name


def test_stored_names_are_exact_unless_they_are_not_text() -> None:
    assert exact("a\r\x1b\u202e") == "a\r\x1b\u202e"
    assert exact(Path(os.fsdecode(b"caf\xe9"))) == r"caf\xe9"


def test_half_a_character_of_a_tag_is_escaped() -> None:
    assert printable("a\ud83d") == exact("a\ud83d") == r"a\ud83d"
