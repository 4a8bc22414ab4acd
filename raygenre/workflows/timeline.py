"""A song's genre over time: stretches of one genre, in words and as a picture under the spectrogram.

Conventions: times are s from the beginning of the song. The last window of a long song reaches back into the one
before it (`audio.windows`); here it counts only from where that one ends.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raygenre.audio.decoding import SAMPLE_RATE, WINDOW
from raygenre.evaluation.plots import legible
from raygenre.model.classifier import Prediction
from raygenre.spectrogram.levels import N_FFT, mel_filters
from raygenre.spectrogram.song import Song

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Paul Tol's "muted" scheme, which colour-blind people can tell apart, without its grey; by a genre's place in the
# alphabet, so that a genre has the same colour in every picture of a classifier.
COLOURS = ("#CC6677", "#332288", "#DDCC77", "#117733", "#88CCEE", "#882255", "#44AA99", "#999933", "#AA4499", "#DDDDDD")

_FREQUENCIES = (100, 500, 1000, 2000, 4000, 8000)  # Hz, marked beside the spectrogram
_DOTS = 100  # an inch


@dataclass(frozen=True)
class Stretch:
    """A part of a song in one genre.

    Attributes:
        confidence: probability of the genre, the mean over the windows of the stretch.
    """

    start: float
    end: float
    genre: str
    confidence: float


def stretches(times: Sequence[tuple[float, float]], prediction: Prediction) -> list[Stretch]:
    """Merge windows that follow each other in the same genre; none for a picture, which tells no time."""
    found: list[Stretch] = []
    shares: list[float] = []
    for (start, end), window in zip(_shown(times), prediction.windows[: len(times)], strict=True):
        genre = max(window, key=window.__getitem__)
        if found and found[-1].genre == genre and start == found[-1].end:
            shares.append(window[genre])
            start = found.pop().start
        else:
            shares = [window[genre]]
        found.append(Stretch(start, end, genre, sum(shares) / len(shares)))
    return found


def words(parts: Sequence[Stretch]) -> list[str]:
    """Say each stretch as `0:00–2:30 rock 71 %`."""
    return [f"{_clock(part.start)}–{_clock(part.end)} {part.genre} {percent(part.confidence)}" for part in parts]


def percent(share: float) -> str:
    """Say a share as `71 %`."""
    return f"{100 * share:.0f} %"


def draw(song: Song, prediction: Prediction, name: str) -> "Figure":
    """Draw the spectrogram as the network sees it, with the genres under it.

    Each window is drawn on its own scale, as it was rendered: its loudest point is the brightest.
    """
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    times = _shown(song.times) or [(0.0, 1.0)]
    figure = Figure(figsize=(np.clip(len(times), 12, 24), 5), dpi=_DOTS, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    _spectrogram(above, song, times)
    parts = stretches(song.times, prediction) or [Stretch(0.0, 1.0, prediction.genre, prediction.confidence)]
    _band(below, parts, list(prediction.probabilities))
    above.set_xlim(0, times[-1][1])
    if song.times:
        below.set_xticks(np.arange(0, times[-1][1], _tick(times[-1][1])))
        below.xaxis.set_major_formatter(lambda seconds, _: _clock(seconds))
        below.set_xlabel("time, min:s")
    else:
        below.set_xlabel("a picture of 30 s")
        below.set_xticks([])
    doubt = ", uncertain" if prediction.uncertain else ""
    title = f"{legible(name)}: {prediction.genre} {percent(prediction.confidence)}{doubt}"
    figure.suptitle(title, parse_math=False, wrap=True, fontsize=13)
    return figure


def picture(song: Song, prediction: Prediction, name: str) -> bytes:
    """Return the PNG file of `draw`."""
    draw(song, prediction, name).savefig(buffer := io.BytesIO(), format="png")
    return buffer.getvalue()


def _spectrogram(axes: "Axes", song: Song, times: Sequence[tuple[float, float]]) -> None:
    bands, columns = song.levels.shape[1:]
    begins = song.times or times
    for levels, (begin, end), (start, _) in zip(song.levels, begins, times, strict=True):
        if song.times:  # without what the window before has shown, and what was repeated to make 30 s
            a_second = columns * SAMPLE_RATE / max(WINDOW, (end - begin) * SAMPLE_RATE)
            levels = levels[:, round((start - begin) * a_second) : round((end - begin) * a_second)]
        axes.imshow(
            levels, cmap="magma", vmin=0, vmax=255, origin="lower", aspect="auto", extent=(start, end, 0, bands)
        )
    axes.set_facecolor("black")  # where there is no sound
    axes.tick_params(axis="x", bottom=False, labelbottom=False)
    middles = mel_filters().argmax(axis=1) * SAMPLE_RATE / N_FFT  # Hz
    axes.set_yticks(
        [float(np.abs(middles - frequency).argmin()) + 0.5 for frequency in _FREQUENCIES],
        [f"{frequency / 1000:g} kHz" if frequency >= 1000 else f"{frequency} Hz" for frequency in _FREQUENCIES],
    )


def _band(axes: "Axes", parts: Sequence[Stretch], genres: Sequence[str]) -> None:
    """A block a stretch, labelled along or across where it fits; a legend names what could not be labelled."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    dots_a_second = 0.9 * figure.get_figwidth() * _DOTS / parts[-1].end
    across = 0.2 * figure.get_figheight() * _DOTS
    unlabelled: dict[str, Artist] = {}
    for part in parts:
        place = genres.index(part.genre)
        colour = COLOURS[place % len(COLOURS)]
        block = axes.barh(
            0,
            part.end - part.start,
            left=part.start,
            height=1,
            color=colour,
            edgecolor="white",
            linewidth=1,
            hatch="/" * (place // len(COLOURS)),
        )
        label = f"{part.genre} {percent(part.confidence)}"
        wide, long = (part.end - part.start) * dots_a_second, 0.085 * _DOTS * len(label)
        if long > wide and (long > across or wide < 0.17 * _DOTS):
            unlabelled[part.genre] = block[0]
            continue
        axes.text(
            (part.start + part.end) / 2,
            0,
            label,
            rotation=0 if long <= wide else 90,
            ha="center",
            va="center",
            color=_ink(colour),
            parse_math=False,
        )
    axes.set_ylim(-0.5, 0.5)
    axes.set_yticks([0], ["genre"])
    axes.tick_params(axis="y", left=False)
    if unlabelled:
        axes.legend(
            list(unlabelled.values()),
            list(unlabelled),
            loc="upper center",
            bbox_to_anchor=(0.5, -0.45),
            ncols=8,
            frameon=False,
        )


def _shown(times: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The windows without what the one before has covered."""
    ends = [0.0, *(end for _, end in times)]
    return [(max(start, before), end) for (start, end), before in zip(times, ends, strict=False)]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)  # a song of 240.5 s ends at 4:00, as players have it
    return f"{minutes}:{rest:02d}"


def _tick(seconds: float) -> int:
    """s from one mark of the time axis to the next, so that there are at most a dozen."""
    return next(step for step in (5, 15, 30, 60, 120, 300, 600, 3600) if seconds <= 12 * step or step == 3600)


def _ink(colour: str) -> str:
    """Black or white, whichever stands out more."""
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"
