"""An appraisal and the model card as one HTML file that asks nobody for anything: no script, no font, no request.

Whatever comes from data, such as names of files and genres, is escaped; a policy in the page forbids the rest.
"""

import io
from base64 import b64encode
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raygenre.audio.decoding import SAMPLE_RATE
from raygenre.evaluation import model_card, plots
from raygenre.evaluation.evaluate import EvaluationReport, Side
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.spectrogram.levels import COLUMNS, N_FFT, mel_filters
from raygenre.spectrogram.magma import MAGMA

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "report.html"

_SECONDS = 30  # a picture
_DIM = 0.35  # brightness where nothing spoke for the answer
_LINE = 0.5  # of the most evidence, around which a line is drawn
_LINE_COLOUR = (120, 255, 255)
_TRACKS: Mapping[Side, str] = {"test": "test tracks", "train": "training tracks", "all": "tracks"}


def page(appraisal: EvaluationReport, *, name: str, evidence: VersionFacts | None) -> str:
    """Return the report of an appraisal.

    Args:
        name: of the model.
        evidence: what the registry knows of it.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(Path(__file__).with_name("report.html.jinja").read_text(encoding="utf-8"))
    classifier, evaluation = appraisal.classifier, appraisal.evaluation
    whose = "the model's " if appraisal.side != "all" else ""
    return template.render(
        appraisal=appraisal,
        name=name,
        introduction=model_card.introduction(classifier),
        tracks=f"{whose}{evaluation.tracks} {_TRACKS[appraisal.side]}",
        confusion=_svg(plots.confusion_figure(evaluation)),
        reliability=_svg(plots.reliability_figure(evaluation)),
        slices=[
            (title, part, _svg(plots.confusion_figure(part)), _svg(plots.reliability_figure(part)))
            for title, part in appraisal.slices
        ],
        method="HiResCAM" if classifier.model.config.frequency_bins > 1 else "Grad-CAM",
        mistakes=[
            (
                mistake,
                where(mistake.saliency),
                _png(spectrogram(mistake.levels)),
                _png(lit(mistake.levels, mistake.saliency)),
            )
            for mistake in appraisal.mistakes
        ],
        sections=model_card.sections(classifier, evidence),
        versions=", ".join(f"{library} {version(library)}" for library in ("raygenre", "torch", "numpy", "captum")),
    )


def spectrogram(levels: NDArray[np.uint8]) -> Image.Image:
    """Return levels (128, 333) in the dataset's colours, low tones at the bottom."""
    picture = Image.fromarray(np.ascontiguousarray(levels[::-1])).convert("P")
    picture.putpalette(MAGMA.tobytes())
    return picture


def lit(levels: NDArray[np.uint8], saliency: NDArray[np.float32]) -> Image.Image:
    """Return the spectrogram lit by a map (128, 333) from 0 to 1, with a line around most of the evidence."""
    light = _DIM + (1 - _DIM) * saliency[..., None]
    colours = (MAGMA[levels] * light).astype(np.uint8)
    most = np.pad(saliency >= _LINE, 1)
    inner = most[:-2, 1:-1] & most[2:, 1:-1] & most[1:-1, :-2] & most[1:-1, 2:]
    colours[most[1:-1, 1:-1] & ~inner] = _LINE_COLOUR
    return Image.fromarray(np.ascontiguousarray(colours[::-1]))


def where(saliency: NDArray[np.float32]) -> str:
    """Say where the evidence of a map (128, 333) has its middle, in s and Hz."""
    total = float(saliency.sum())
    if not total:
        return "nowhere in particular"
    column = float(saliency.sum(axis=0) @ np.arange(COLUMNS)) / total
    band = round(float(saliency.sum(axis=1) @ np.arange(len(saliency))) / total)
    pitch = mel_filters()[band].argmax() * SAMPLE_RATE / N_FFT
    return f"around {column * _SECONDS / COLUMNS:.0f} s and {pitch:.0f} Hz"


def _png(picture: Image.Image) -> str:
    picture.save(buffer := io.BytesIO(), format="PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"


def _svg(figure: "Figure") -> str:
    figure.savefig(buffer := io.BytesIO(), format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{b64encode(buffer.getvalue()).decode()}"
