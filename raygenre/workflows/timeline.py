"""A song's genre over time: stretches of one genre, as text and as a plot.

Conventions: times are in s from the start of the song. Clock times are minutes:seconds or hours:minutes:seconds,
rounded down to whole seconds as in media players, so a song of 240.9 s ends at 4:00. In `audio.windows`, the last
window of a long song overlaps the previous window; in this module, the last window starts where the previous one ends.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raygenre.audio.decoding import SAMPLE_RATE, WINDOW
from raygenre.prediction import Prediction

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from raygenre.workflows.plotted_song import PlottedSong  # imports torch, which is needed only for plots

# Paul Tol's colour-blind safe "muted" scheme. Colours follow the alphabetical order of the genres, so that a genre has
# the same colour in every plot of a classifier.
COLOURS = ("#CC6677", "#332288", "#DDCC77", "#117733", "#88CCEE", "#882255", "#44AA99", "#999933", "#AA4499", "#DDDDDD")

_FREQUENCIES = (100, 500, 1000, 2000, 4000, 8000)  # ticks of the frequency axis, in Hz
_DPI = 100


@dataclass(frozen=True)
class Stretch:
    """A part of a song with one genre.

    Attributes:
        start, end: times in s.
        confidence: mean probability of the genre over the windows of the stretch.
    """

    start: float
    end: float
    genre: str
    confidence: float


def stretches(times: Sequence[tuple[float, float]], prediction: Prediction) -> list[Stretch]:
    """Merge consecutive windows of the same genre. An image has no window times and therefore no stretches."""
    merged: list[Stretch] = []
    shares: list[float] = []
    for (start, end), window in zip(_without_overlap(times), prediction.windows[: len(times)], strict=True):
        genre = max(window, key=window.__getitem__)
        if merged and merged[-1].genre == genre and start == merged[-1].end:
            shares.append(window[genre])
            start = merged.pop().start
        else:
            shares = [window[genre]]
        merged.append(Stretch(start, end, genre, sum(shares) / len(shares)))
    return merged


def stretch_texts(parts: Sequence[Stretch]) -> list[str]:
    """Format each stretch as `0:00–2:30 rock 71 %`."""
    return [f"{_clock(part.start)}–{_clock(part.end)} {part.genre} {percent(part.confidence)}" for part in parts]


def percent(share: float) -> str:
    """Format a share as `71 %`."""
    return f"{100 * share:.0f} %"


def plot(song: "PlottedSong", name: str, warning: str = "") -> "Figure":
    """Plot the spectrogram with the genres below it, and the warning about the model, if any, in the title.

    As in the network's input, each window is scaled separately, so its loudest point has full brightness.
    """
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    from raygenre.evaluation.plots import legible

    prediction = song.prediction
    times = _without_overlap(song.level_times) or [(0.0, 1.0)]
    figure = Figure(figsize=(np.clip(len(times), 12, 24), 5), dpi=_DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    _plot_spectrogram(upper, song, times)
    parts = stretches(song.times, prediction) or [Stretch(0.0, 1.0, prediction.genre, prediction.confidence)]
    _plot_genres(lower, parts, list(prediction.probabilities))
    upper.set_xlim(0, times[-1][1])
    if song.times:
        lower.set_xticks(np.arange(0, times[-1][1], _tick(times[-1][1])))
        lower.xaxis.set_major_formatter(lambda seconds, _: _clock(seconds))
        lower.set_xlabel("time, min:s" if times[-1][1] < 3600 else "time, h:min:s")
    else:
        lower.set_xlabel("an image of 30 s")
        lower.set_xticks([])
    note = ", uncertain" if prediction.uncertain else ""
    title = f"{legible(name)}: {prediction.genre} {percent(prediction.confidence)}{note}"
    if warning:
        title += f"\n(model {warning})"
    figure.suptitle(title, parse_math=False, wrap=True, fontsize=13)
    return figure


def plot_png(song: "PlottedSong", name: str, warning: str = "") -> bytes:
    """Return `plot` as a PNG file."""
    plot(song, name, warning).savefig(buffer := io.BytesIO(), format="png")
    return buffer.getvalue()


def _plot_spectrogram(axes: "Axes", song: "PlottedSong", times: Sequence[tuple[float, float]]) -> None:
    from raygenre.spectrogram.levels import N_FFT, mel_filters

    bands, columns = song.levels.shape[1:]
    full_times = song.level_times or times
    for levels, (full_start, end), (start, _) in zip(song.levels, full_times, times, strict=True):
        if song.level_times:  # cut off the overlap with the previous window, and repetitions that fill the 30 s
            columns_per_second = columns * SAMPLE_RATE / max(WINDOW, (end - full_start) * SAMPLE_RATE)
            first, last = (round((time - full_start) * columns_per_second) for time in (start, end))
            levels = levels[:, first:last]
        axes.imshow(
            levels, cmap="magma", vmin=0, vmax=255, origin="lower", aspect="auto", extent=(start, end, 0, bands)
        )
    axes.set_facecolor("black")  # silence
    axes.tick_params(axis="x", bottom=False, labelbottom=False)
    middles = mel_filters().argmax(axis=1) * SAMPLE_RATE / N_FFT  # Hz
    axes.set_yticks(
        [float(np.abs(middles - frequency).argmin()) + 0.5 for frequency in _FREQUENCIES],
        [f"{frequency / 1000:g} kHz" if frequency >= 1000 else f"{frequency} Hz" for frequency in _FREQUENCIES],
    )


def _plot_genres(axes: "Axes", parts: Sequence[Stretch], genres: Sequence[str]) -> None:
    """Draw a bar per stretch, with a horizontal or vertical label if it fits, and a legend for unlabelled bars."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    dots_per_second = 0.9 * figure.get_figwidth() * _DPI / parts[-1].end
    height = 0.2 * figure.get_figheight() * _DPI
    unlabelled: dict[str, Artist] = {}
    for part in parts:
        index = genres.index(part.genre)
        colour = COLOURS[index % len(COLOURS)]
        block = axes.barh(
            0,
            part.end - part.start,
            left=part.start,
            height=1,
            color=colour,
            edgecolor="white",
            linewidth=1,
            hatch="/" * (index // len(COLOURS)),
        )
        label = f"{part.genre} {percent(part.confidence)}"
        width, length = (part.end - part.start) * dots_per_second, 0.085 * _DPI * len(label)
        if length > width and (length > height or width < 0.17 * _DPI):
            unlabelled[part.genre] = block[0]
            continue
        axes.text(
            (part.start + part.end) / 2,
            0,
            label,
            rotation=0 if length <= width else 90,
            ha="center",
            va="center",
            color=_text_colour(colour),
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


def _without_overlap(times: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the times of the windows without overlaps; each window starts no earlier than the previous window ends."""
    ends = [0.0, *(end for _, end in times)]
    return [(max(start, before), end) for (start, end), before in zip(times, ends, strict=False)]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _tick(seconds: float) -> int:
    """Return the interval between ticks of the time axis, in s, chosen to give at most a dozen ticks."""
    hours = math.ceil(seconds / 12 / 3600)
    return next((step for step in (5, 15, 30, 60, 120, 300, 600) if seconds <= 12 * step), 3600 * hours)


def _text_colour(colour: str) -> str:
    """Return black for light colours and white for dark ones."""
    red, green, blue = (int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5))
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"
