import io
from dataclasses import replace

import numpy as np
from rich.console import RenderableType

from raygenre.cli.console import LiteralConsole
from raygenre.cli.tables import contingency_table, decision_table, recall_table, slice_table
from raygenre.evaluation.metrics import Evaluation
from raygenre.evaluation.paired_test import PairedTest
from raygenre.registry.decision import PromotionDecision

LABELS, PREDICTED = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 0])
EVALUATION = Evaluation(("blues", "jazz", "rock"), LABELS, np.eye(3, dtype=np.float32)[PREDICTED], 0.5)
PAIRED = PairedTest(both=30, only_candidate=12, only_incumbent=3, neither=5)


def printed(table: RenderableType) -> list[str]:
    """Return the lines of a table with single spaces between its cells."""
    text = io.StringIO()
    LiteralConsole(file=text, width=120).print(table)
    return [" ".join(line.split()) for line in text.getvalue().splitlines()]


def test_the_slice_table_has_a_line_per_slice() -> None:
    slices = [("faulty", EVALUATION), ("not faulty", EVALUATION.subset(np.array([True, False, True, True, True])))]
    lines = printed(slice_table(slices, [("artist not known", False), ("with a known copy", True)]))
    assert lines[1].startswith("faulty 5 60.0% 23.1% to 88.2%")
    assert lines[2].startswith("not faulty 4 50.0%")
    assert lines[3:] == ["artist not known none", "with a known copy all"]


def test_the_recall_table_has_accuracy_interval_and_recall() -> None:
    text = "\n".join(printed(recall_table(EVALUATION)))
    assert "Test accuracy 60.0% on 5 tracks (95 % interval 23.1% to 88.2%)" in text
    assert "67%" in text
    assert "no tracks" in text


def test_the_contingency_table_has_the_four_counts() -> None:
    assert printed(contingency_table(PAIRED, "run [a]", "b")) == [
        "tracks b correct b wrong",
        "run [a] correct 30 12",
        "run [a] wrong 3 5",
    ]


def test_a_decision_by_the_paired_test_has_its_table() -> None:
    decision = PromotionDecision(False, "it may be better only by chance", 2, PAIRED)
    lines = printed(decision_table(decision, 3))
    assert lines[:4] == [
        "Model raygenre version 3 is not the champion: it may be better only by chance",
        "tracks version 2 correct version 2 wrong",
        "version 3 correct 30 12",
        "version 3 wrong 3 5",
    ]
    assert lines[4].startswith("version 3 is correct on 84.0% of these 50 tracks, version 2 on 66.0%: +18.0 points")
    assert lines[-2:] == [
        "p = 0.018; the champion is replaced only if p < 0.05",
        "To make it the champion anyway, run `raygenre promote 3 --force --reason WHY`",
    ]


def test_a_test_with_too_few_tracks_has_no_table() -> None:
    decision = PromotionDecision(True, "forced", 2, replace(PAIRED, both=0), forced=True)
    assert printed(decision_table(decision, 3)) == ["Model raygenre version 3 is the champion: forced"]
