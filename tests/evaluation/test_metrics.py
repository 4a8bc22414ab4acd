import math

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support

from raygenre.evaluation.metrics import Evaluation, confusion_matrix, wilson_interval

PROBABILITIES = np.array([[0.8, 0.1, 0.1], [0.9, 0.1, 0], [0.4, 0.6, 0], [0.3, 0.6, 0.1]], dtype=np.float32)


def test_confusion_matrix_counts_true_rows_and_predicted_columns() -> None:
    assert confusion_matrix([0, 0, 1, 2], [0, 1, 1, 0], 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_accuracy_and_recall() -> None:
    evaluation = Evaluation(("blues", "jazz", "rock"), np.array([0, 0, 0, 1]), PROBABILITIES, 0.5)
    assert evaluation.accuracy == 0.75
    assert evaluation.predicted.tolist() == [0, 0, 1, 1]
    assert evaluation.confusion.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert evaluation.recall["blues"] == pytest.approx(2 / 3)
    assert evaluation.recall["jazz"] == 1
    assert math.isnan(evaluation.recall["rock"])


def test_accuracy_of_the_certain_predictions() -> None:
    labels = np.array([0, 0, 0, 1])
    evaluation = Evaluation(("blues", "jazz", "rock"), labels, PROBABILITIES, 0.75)
    assert evaluation.certain.tolist() == [True, True, False, False]
    assert evaluation.certain_accuracy == 1
    assert math.isnan(Evaluation(("blues", "jazz", "rock"), labels, PROBABILITIES, 1.0).certain_accuracy)
    # Two predictions with confidence 0.6 share a bin; one of them is correct.
    assert evaluation.calibration_error == pytest.approx((0.2 + 0.1 + 0.2) / 4)


def test_scores_equal_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    for genres in (2, 5, 10):
        labels = random.integers(genres, size=40)
        evaluation = Evaluation(tuple("abcdefghij"[:genres]), labels, random.random((40, genres), np.float32), 0.5)
        expected = precision_recall_fscore_support(labels, evaluation.predicted, labels=range(genres), zero_division=0)
        scores = [(score.precision, score.recall, score.f1, score.tracks) for score in evaluation.scores]
        assert np.nan_to_num(np.array(scores)) == pytest.approx(np.array(expected).T)
        assert evaluation.macro_f1 == pytest.approx(f1_score(labels, evaluation.predicted, average="macro"))


def test_a_genre_without_tracks_and_predictions_is_ignored() -> None:
    evaluation = Evaluation(("blues", "jazz", "rock"), np.array([0, 0, 0, 1]), PROBABILITIES, 0.5)
    rock = evaluation.scores[2]
    assert (rock.tracks, rock.named) == (0, 0)
    assert all(math.isnan(value) for value in (rock.precision, rock.recall, rock.f1))
    assert evaluation.macro_f1 == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_mistakes_are_ordered_by_confidence() -> None:
    evaluation = Evaluation(("blues", "jazz", "rock"), np.array([2, 1, 0, 1]), PROBABILITIES, 0.5)
    assert evaluation.mistakes.tolist() == [1, 0, 2]


def test_a_subset_is_the_evaluation_of_its_tracks() -> None:
    evaluation = Evaluation(("blues", "jazz", "rock"), np.array([0, 0, 0, 1]), PROBABILITIES, 0.7)
    part = evaluation.subset(np.array([False, True, True, False]))
    assert (part.tracks, part.hits) == (2, 1)
    assert part.confusion.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert part.threshold == 0.7
    with pytest.raises(ValueError, match="at least one track"):
        evaluation.subset(np.zeros(4, dtype=np.bool_))


def test_metrics_have_mlflow_names_and_are_never_nan() -> None:
    evaluation = Evaluation(("blues", "jazz", "rock"), np.array([0, 0, 0, 1]), PROBABILITIES, 0.85)
    metrics = evaluation.metrics("test_")
    assert metrics["test_accuracy"] == 0.75
    assert metrics["test_accuracy_low"] < 0.75 < metrics["test_accuracy_high"]
    assert metrics["test_certain_share"] == 0.25
    assert metrics["test_certain_accuracy"] == 1
    assert metrics["test_calibration_error"] == evaluation.calibration_error
    stricter = Evaluation(("blues", "jazz", "rock"), np.array([0, 0, 0, 1]), PROBABILITIES, 0.95)
    assert "certain_accuracy" not in stricter.metrics()


def test_wilson_interval_equals_scipys() -> None:
    # Expected values from scipy.stats.binomtest(141, 199).proportion_ci(method="wilson").
    assert wilson_interval(141, 199) == pytest.approx((0.6419312, 0.7672553), abs=1e-6)


def test_wilson_interval_stays_within_zero_and_one() -> None:
    assert wilson_interval(0, 5)[0] == 0
    assert 0 < wilson_interval(0, 5)[1] < 1
    assert wilson_interval(5, 5)[1] == 1


def test_wilson_interval_has_95_percent_coverage() -> None:
    random = np.random.default_rng(0)
    hits = random.binomial(200, 0.7, size=2000)
    covered = sum(low <= 0.7 <= high for low, high in (wilson_interval(int(n), 200) for n in hits))
    assert 0.93 < covered / 2000 < 0.97


@pytest.mark.parametrize(("hits", "tracks"), [(1, 0), (3, 2), (-1, 2)])
def test_impossible_counts_are_rejected(hits: int, tracks: int) -> None:
    with pytest.raises(ValueError, match="hits"):
        wilson_interval(hits, tracks)
