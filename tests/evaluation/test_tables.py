import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from raygenre.evaluation import plots, tables
from raygenre.evaluation.metrics import Evaluation

LABELS, PREDICTED = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 0])
EVALUATION = Evaluation(("blues", "jazz", "rock"), LABELS, np.eye(3, dtype=np.float32)[PREDICTED], 0.5)


def test_the_csv_is_the_confusion_matrix() -> None:
    rows = list(csv.reader(io.StringIO(tables.confusion_csv(EVALUATION))))
    assert rows == [
        ["true genre", "blues", "jazz", "rock"],
        ["blues", "2", "1", "0"],
        ["jazz", "1", "1", "0"],
        ["rock", "0", "0", "0"],
    ]


def test_the_confusion_figure_shows_shares_and_counts() -> None:
    figure = plots.confusion_figure(EVALUATION)
    [image] = figure.axes[0].images
    shares = np.asarray(image.get_array())
    assert shares.argmax() == 0
    assert shares[0].tolist() == [2 / 3, 1 / 3, 0]
    texts = {
        (int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in figure.axes[0].texts
    }
    assert texts == {(0, 0): "2", (0, 1): "1", (1, 0): "1", (1, 1): "1"}
    buffer = io.BytesIO()
    figure.savefig(buffer)
    assert Image.open(buffer).width > 200


def test_the_reliability_diagram_has_a_point_per_filled_bin() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.95, 0.05, 0], [0.55, 0.45, 0], [0.58, 0.42, 0], [0.1, 0.9, 0]], dtype=np.float32)
    figure = plots.reliability_figure(Evaluation(("blues", "jazz", "rock"), labels, probabilities, 0.7))
    above, below = figure.axes
    points = [line.get_xydata().tolist()[0] for line in above.lines if line.get_marker() == "o"]  # type: ignore[union-attr]
    assert np.array(points) == pytest.approx(np.array([[0.565, 0.5], [0.925, 1]]))
    assert [bar.get_height() for bar in below.patches if isinstance(bar, Rectangle)] == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]


def test_genre_names_need_no_font_and_are_never_mathematics() -> None:
    names = ("$x_1$", "ロック", "rock")
    for figure in (plots.confusion_figure(replace(EVALUATION, genres=names)), plots.reliability_figure(EVALUATION)):
        figure.savefig(io.BytesIO())
    labels = [
        label.get_text()
        for label in plots.confusion_figure(replace(EVALUATION, genres=names)).axes[0].get_xticklabels()
    ]
    assert labels == ["$x_1$", "□□□", "rock"]


def test_the_accuracy_text_has_accuracy_and_interval() -> None:
    assert tables.accuracy_text(EVALUATION) == "Test accuracy 60.0% on 5 tracks (95 % interval 23.1% to 88.2%)"
