"""The HTML report of an evaluation: metrics, slices, mistakes and the model card."""

import io
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raygenre.audio.decoding import SAMPLE_RATE
from raygenre.evaluation import model_card, plots
from raygenre.evaluation.evaluate import EvaluationReport, Side
from raygenre.evaluation.html_page import data_url, figure_url, render_page
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.model.classifier import Classifier
from raygenre.model.network import ModelConfig
from raygenre.spectrogram.colour_map import MAGMA
from raygenre.spectrogram.levels import COLUMNS, N_FFT, mel_filters

REPORT_FILE = "report.html"

_SECONDS = 30  # duration of the music in a spectrogram
_DIM = 0.35  # brightness where there is no evidence
_OUTLINE_LEVEL = 0.5  # the outline encloses values above this share of the maximum
_OUTLINE_COLOUR = (120, 255, 255)
_TRACKS: Mapping[Side, str] = {"test": "test tracks", "train": "training tracks", "all": "tracks"}


def report_page(report: EvaluationReport, *, name: str, facts: VersionFacts | None) -> str:
    """Return the HTML page of a report.

    Args:
        name: name of the model.
        facts: facts that the registry records about the model; None if it records none.
    """
    classifier, evaluation = report.classifier, report.evaluation
    whose = "the model's " if report.side != "all" else ""
    values = {
        "report": report,
        "name": name,
        "introduction": model_card.introduction(classifier),
        "tracks": f"{whose}{evaluation.tracks} {_TRACKS[report.side]}",
        "confusion": figure_url(plots.confusion_figure(evaluation), "svg"),
        "reliability": figure_url(plots.reliability_figure(evaluation), "svg"),
        "slices": [
            (
                title,
                part,
                figure_url(plots.confusion_figure(part), "svg"),
                figure_url(plots.reliability_figure(part), "svg"),
            )
            for title, part in report.slices
        ],
        "method": _method(classifier),
        "mistakes": [
            (
                mistake,
                _png_url(spectrogram_image(mistake.levels)),
                "" if mistake.saliency is None else saliency_centre(mistake.saliency),
                "" if mistake.saliency is None else _png_url(saliency_image(mistake.levels, mistake.saliency)),
            )
            for mistake in report.mistakes
        ],
        "sections": model_card.sections(classifier, facts),
        "versions": ", ".join(f"{library} {version(library)}" for library in ("raygenre", "torch", "numpy", "captum")),
    }
    return render_page(Path(__file__).with_name("report.html.jinja"), values)


def _method(classifier: Classifier) -> str:
    """Return the name of the method that shows the evidence for a prediction; empty if the input is not an image."""
    config = classifier.model.config
    if not isinstance(config, ModelConfig):
        return ""
    return "HiResCAM" if config.frequency_bins > 1 else "Grad-CAM"


def spectrogram_image(levels: NDArray[np.uint8]) -> Image.Image:
    """Return levels (128, 333) as an image in the dataset's colours, with low frequencies at the bottom."""
    image = Image.fromarray(np.ascontiguousarray(levels[::-1])).convert("P")
    image.putpalette(MAGMA.tobytes())
    return image


def saliency_image(levels: NDArray[np.uint8], saliency: NDArray[np.float32]) -> Image.Image:
    """Return an image of the spectrogram, dimmed by a saliency map and outlined at half of the map's maximum.

    Args:
        levels: uint8 (128, 333).
        saliency: float32 (128, 333), 0 to 1.
    """
    brightness = _DIM + (1 - _DIM) * saliency[..., None]
    colours = (MAGMA[levels] * brightness).astype(np.uint8)
    strong = np.pad(saliency >= _OUTLINE_LEVEL, 1)
    inner = strong[:-2, 1:-1] & strong[2:, 1:-1] & strong[1:-1, :-2] & strong[1:-1, 2:]
    colours[strong[1:-1, 1:-1] & ~inner] = _OUTLINE_COLOUR
    return Image.fromarray(np.ascontiguousarray(colours[::-1]))


def saliency_centre(saliency: NDArray[np.float32]) -> str:
    """Return text that gives the position, in s and Hz, of the centre of mass of a saliency map (128, 333)."""
    total = float(saliency.sum())
    if not total:
        return "nowhere in particular"
    column = float(saliency.sum(axis=0) @ np.arange(COLUMNS)) / total
    band = round(float(saliency.sum(axis=1) @ np.arange(len(saliency))) / total)
    frequency = mel_filters()[band].argmax() * SAMPLE_RATE / N_FFT
    return f"around {column * _SECONDS / COLUMNS:.0f} s and {frequency:.0f} Hz"


def _png_url(image: Image.Image) -> str:
    image.save(buffer := io.BytesIO(), format="PNG", optimize=True)
    return data_url(buffer.getvalue(), "png")
