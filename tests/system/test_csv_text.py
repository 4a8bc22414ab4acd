"""All readers split our CSV files into the same cells, and no text acts as a formula."""

import csv
import io

import pandas as pd
import pytest

from raygenre.system.csv_text import csv_text

NAMES = ["plain", "a,b", 'a "b"', "a\rb", "a\nb", "a\r\nb", "\x1b[31m", "\u266b", ""]
FORMULAS = ["=1+1", "+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "\uff1d1"]


@pytest.mark.parametrize("name", [*NAMES, *FORMULAS, "'=1"])
def test_a_row_is_one_row_for_every_reader(name: str) -> None:
    text = csv_text([["name", "number"], [name, 1]])
    [_, row] = csv.reader(io.StringIO(text, newline=""))
    frame = pd.read_csv(io.StringIO(text, newline=""), keep_default_na=False)
    assert row == [frame["name"][0], str(frame["number"][0])]
    assert row[1] == "1"
    assert (row[0].removeprefix("'") if row[0] != name else row[0]) == name


@pytest.mark.parametrize("text", [*FORMULAS, *(f"'{formula}" for formula in FORMULAS)])
def test_texts_that_start_like_formulas_get_an_apostrophe(text: str) -> None:
    [[cell]] = csv.reader(io.StringIO(csv_text([[text]]), newline=""))
    assert cell == f"'{text}"


def test_numbers_and_other_texts_stay_as_they_are() -> None:
    assert csv_text([[-1, -0.5, True, None, "'90s", "a=b", 1e-7]]) == "-1,-0.5,True,,'90s,a=b,1e-07\n"
