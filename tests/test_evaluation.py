import math

import numpy as np
import pytest

from raygenre.evaluation import Evaluation, confusion_matrix, wilson_interval

ANSWERS = np.array([[0.8, 0.1, 0.1], [0.9, 0.1, 0], [0.4, 0.6, 0], [0.3, 0.6, 0.1]], dtype=np.float32)


def test_confusion_matrix_counts_true_rows_and_predicted_columns() -> None:
    assert confusion_matrix([0, 0, 1, 2], [0, 1, 1, 0], 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_accuracy_and_recall() -> None:
    evaluation = Evaluation(("blues", "jazz", "rock"), np.array([0, 0, 0, 1]), ANSWERS, 0.5)
    assert evaluation.accuracy == 0.75
    assert evaluation.predicted.tolist() == [0, 0, 1, 1]
    assert evaluation.confusion.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert evaluation.recall["blues"] == pytest.approx(2 / 3)
    assert evaluation.recall["jazz"] == 1
    assert math.isnan(evaluation.recall["rock"])


def test_accuracy_of_the_certain_answers() -> None:
    labels = np.array([0, 0, 0, 1])
    evaluation = Evaluation(("blues", "jazz", "rock"), labels, ANSWERS, 0.75)
    assert evaluation.certain.tolist() == [True, True, False, False]
    assert evaluation.certain_accuracy == 1
    assert math.isnan(Evaluation(("blues", "jazz", "rock"), labels, ANSWERS, 1.0).certain_accuracy)
    # Two answers of confidence 0.6 share a bin, one of them right.
    assert evaluation.calibration_error == pytest.approx((0.2 + 0.1 + 0.2) / 4)


def test_wilson_interval_of_the_textbook() -> None:
    # The project's first result, 141 of 199 tracks; by scipy.stats.binomtest(141, 199).proportion_ci(method="wilson").
    assert wilson_interval(141, 199) == pytest.approx((0.6419312, 0.7672553), abs=1e-6)


def test_wilson_interval_stays_within_zero_and_one() -> None:
    assert wilson_interval(0, 5)[0] == 0
    assert 0 < wilson_interval(0, 5)[1] < 1
    assert wilson_interval(5, 5)[1] == 1


def test_wilson_interval_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    hits = random.binomial(200, 0.7, size=2000)
    covered = sum(low <= 0.7 <= high for low, high in (wilson_interval(int(n), 200) for n in hits))
    assert 0.93 < covered / 2000 < 0.97


@pytest.mark.parametrize(("hits", "tracks"), [(1, 0), (3, 2), (-1, 2)])
def test_impossible_counts_are_refused(hits: int, tracks: int) -> None:
    with pytest.raises(ValueError, match="hits"):
        wilson_interval(hits, tracks)
