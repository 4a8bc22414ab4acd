import io

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from PIL import Image

from raygenre.audio.decoding import SAMPLE_RATE, WINDOW
from raygenre.inputs.kind import Song
from raygenre.model.classifier import Classifier, Prediction
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.workflows import plotted_song, timeline
from raygenre.workflows.plotted_song import PlottedSong
from raygenre.workflows.timeline import Stretch

GENRES = ("blues", "jazz", "rock")


def prediction(*winners: tuple[str, float], uncertain: bool = False) -> Prediction:
    """Return a prediction with one winning genre per window; the other genres share the rest equally."""
    windows = tuple(
        {genre: share if genre == winner else (1 - share) / 2 for genre in GENRES} for winner, share in winners
    )
    genre, share = winners[0]
    return Prediction(genre, share, uncertain, windows[0], windows)


def song(times: tuple[tuple[float, float], ...], answer: Prediction) -> PlottedSong:
    """Return a song in which the level of each window is the window's number."""
    levels = np.stack([np.full((128, 333), place + 1, dtype=np.uint8) for place in range(max(len(times), 1))])
    return PlottedSong(levels, times, answer, times)


TIMES = ((0.0, 30.0), (30.0, 60.0), (60.0, 90.0), (70.0, 100.0))
ANSWER = prediction(("rock", 0.7), ("rock", 0.9), ("jazz", 0.5), ("blues", 0.6))


def test_consecutive_windows_of_a_genre_are_one_stretch() -> None:
    first, *others = timeline.stretches(TIMES, ANSWER)
    assert (first.start, first.end, first.genre) == (0, 60, "rock")
    assert first.confidence == pytest.approx(0.8)
    assert others == [Stretch(60, 90, "jazz", 0.5), Stretch(90, 100, "blues", 0.6)]


def test_silence_separates_stretches() -> None:
    parts = timeline.stretches(((0.0, 30.0), (60.0, 90.0)), prediction(("rock", 0.7), ("rock", 0.9)))
    assert [(part.start, part.end) for part in parts] == [(0, 30), (60, 90)]


def test_an_image_has_no_stretches() -> None:
    assert timeline.stretches((), prediction(("rock", 0.7))) == []


def test_clock_times_are_rounded_down() -> None:
    parts = [Stretch(0, 150.96, "rock", 0.714), Stretch(150.96, 3605, "metal", 0.55)]
    assert timeline.stretch_texts(parts) == ["0:00–2:30 rock 71 %", "2:30–1:00:05 metal 55 %"]


def plotted(song: PlottedSong, name: str = "song.mp3") -> tuple[list[tuple[float, float, int]], list[str], str]:
    """Return the start, end and column count of each spectrogram, the genre labels, and the title."""
    figure = timeline.plot(song, name)
    upper, lower = figure.axes
    images = [(*image.get_extent()[:2], np.asarray(image.get_array()).shape[1]) for image in upper.images]
    assert upper.get_xlim()[1] == images[-1][1]
    return images, [text.get_text() for text in lower.texts], figure.get_suptitle()


def test_the_overlap_of_the_last_window_is_plotted_once() -> None:
    images, labels, title = plotted(song(TIMES, ANSWER))
    assert images == [(0, 30, 333), (30, 60, 333), (60, 90, 333), (90, 100, 111)]
    assert labels == ["rock 80 %", "jazz 50 %", "blues 60 %"]
    assert title == "song.mp3: rock 70 %"


@pytest.mark.parametrize(("limit", "columns"), [(9 * 333, 333), (2000, 111), (400, 37), (10, 1), (1, 1)])
def test_a_long_song_is_plotted_with_fewer_columns(limit: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plotted_song, "_MAX_COLUMNS", limit)
    torch.manual_seed(0)
    classifier = Classifier(GenreCNN(ModelConfig(genres=3, widths=(4, 4, 4))), GENRES)
    whole = song(tuple((30.0 * place, 30.0 * place + 30) for place in range(9)), ANSWER)
    parts = [Song(whole.levels[i : i + 4], whole.times[i : i + 4]) for i in range(0, 9, 4)]
    shown = plotted_song.classify_parts(classifier, parts)
    assert shown.prediction == classifier.predict(Song(whole.levels, whole.times))
    assert shown.times == shown.level_times == whole.times
    np.testing.assert_array_equal(shown.levels, whole.levels[..., :columns])
    images, _, _ = plotted(shown)
    assert images == [(start, end, columns) for start, end in whole.times]


def test_a_song_of_many_hours_has_at_most_a_dozen_ticks() -> None:
    times = tuple((3600.0 * place, 3600.0 * place + 3600) for place in range(30))
    lower = timeline.plot(song(times, prediction(*[("rock", 0.7)] * 30)), "long.mp3").axes[1]
    assert list(lower.get_xticks()) == [0, *range(3 * 3600, 30 * 3600, 3 * 3600)]
    assert lower.xaxis.get_major_formatter()(3 * 3600) == "3:00:00"


def test_a_short_song_is_plotted_without_repetitions() -> None:
    [(start, end, columns)], _, _ = plotted(song(((0.0, 3.0),), prediction(("rock", 0.7))))
    assert (start, end) == (0, 3)
    assert columns == round(333 * 3 * SAMPLE_RATE / WINDOW)


def test_an_image_is_plotted_completely() -> None:
    images, labels, title = plotted(song((), prediction(("rock", 0.7), uncertain=True)), "a.png")
    assert images == [(0, 1, 333)]
    assert labels == ["rock 70 %"]
    assert title == "a.png: rock 70 %, uncertain"


def test_stretches_have_colours_and_labels_or_a_legend() -> None:
    times = tuple((30.0 * place, 30.0 * place + 30) for place in range(60))
    answer = prediction(*([("rock", 0.7)] * 58), ("blues", 0.6), ("jazz", 0.6))
    figure = timeline.plot(song(times, answer), "long.mp3")
    lower = figure.axes[1]
    colours = [to_hex(patch.get_facecolor()).upper() for patch in lower.patches]
    assert colours == [timeline.COLOURS[2], timeline.COLOURS[0], timeline.COLOURS[1]]
    assert [text.get_text() for text in lower.texts] == ["rock 70 %", "blues 60 %", "jazz 60 %"]
    assert [text.get_rotation() for text in lower.texts] == [0, 90, 90]
    names = ("rock", "a very long name of a genre indeed", "jazz")
    longer = Prediction(
        "rock", 1, False, dict.fromkeys(names, 0.0), tuple({name: 1.0} for name in (*("rock",) * 59, names[1]))
    )
    legend = timeline.plot(song(times, longer), "long.mp3").axes[1].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [names[1]]


def test_more_genres_than_colours_are_hatched() -> None:
    names = [f"genre {number:02d}" for number in range(12)]
    windows = tuple({name: float(name == names[place]) for name in names} for place in (1, 11))
    answer = Prediction(names[1], 1.0, False, windows[0], windows)
    patches = timeline.plot(song(((0.0, 30.0), (30.0, 60.0)), answer), "a").axes[1].patches
    assert to_hex(patches[0].get_facecolor()) == to_hex(patches[1].get_facecolor())
    assert not patches[0].get_hatch()
    assert patches[1].get_hatch()


def test_the_title_has_the_warning_about_the_model() -> None:
    title = timeline.plot(song(TIMES, ANSWER), "song.mp3", "trained on synthetic sounds").get_suptitle()
    assert title.splitlines() == ["song.mp3: rock 70 %", "(model trained on synthetic sounds)"]


@pytest.mark.parametrize("name", ["$100 $ hits_1^2.mp3", "夜に駆ける.mp3", "a" * 250 + ".mp3"])
def test_any_file_name_can_be_plotted(name: str) -> None:
    image = Image.open(io.BytesIO(timeline.plot_png(song(TIMES, ANSWER), name)))
    assert image.size == (1200, 500)
