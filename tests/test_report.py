import csv
import io

import numpy as np
from PIL import Image
from rich.console import Console

from raygenre import report
from raygenre.evaluation import Evaluation

LABELS, PREDICTED = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 0])
EVALUATION = Evaluation(("blues", "jazz", "rock"), LABELS, np.eye(3, dtype=np.float32)[PREDICTED], 0.5)


def test_the_table_is_the_matrix() -> None:
    rows = list(csv.reader(io.StringIO(report.confusion_csv(EVALUATION))))
    assert rows == [
        ["true genre", "blues", "jazz", "rock"],
        ["blues", "2", "1", "0"],
        ["jazz", "1", "1", "0"],
        ["rock", "0", "0", "0"],
    ]


def test_the_picture_is_darkest_where_most_tracks_are() -> None:
    figure = report.confusion_figure(EVALUATION)
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


def test_the_terminal_says_accuracy_interval_and_recall() -> None:
    text = io.StringIO()
    Console(file=text, width=120).print(report.recall_table(EVALUATION))
    printed = text.getvalue()
    assert "Test accuracy 60.0% on 5 tracks (95 % interval 23.1% to 88.2%)" in printed
    assert "67%" in printed
    assert "no tracks" in printed
