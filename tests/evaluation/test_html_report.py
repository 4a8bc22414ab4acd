"""The HTML report is self-contained, and names from the data are never interpreted as markup."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from raygenre.data.dataset import Dataset
from raygenre.evaluation import html_report
from raygenre.evaluation.evaluate import EvaluationReport, evaluate_classifier
from raygenre.evaluation.slices import TrackFacts
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.model.seen_tracks import SeenTracks
from raygenre.spectrogram.colour_map import MAGMA

FACTS = VersionFacts(0.5, "t", synthetic=False, study="spring", sha256="feed")
NASTY = '<img src=x onerror=alert(1)>&"$x_1$'


class Reader(HTMLParser):
    """Collects the text of a page, and its tags with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data.strip()} " if data.strip() else ""


def example_report(tracks: Dataset) -> EvaluationReport:
    torch.manual_seed(0)
    model = GenreCNN(ModelConfig(genres=3, widths=(4, 4, 4))).eval()
    with torch.no_grad():
        list(model.parameters())[-1][2] = 9
    seen = SeenTracks.of(tracks.tracks, tracks.levels, train=range(1, 30, 2), test=range(0, 30, 2))
    return evaluate_classifier(Classifier(model, tracks.genres, seen=seen), tracks, "all", TrackFacts())


@pytest.fixture(scope="module")
def nasty(tracks: Dataset) -> str:
    """A report on a data set whose names contain markup."""
    named = replace(
        tracks,
        tracks=tuple(f"{NASTY}{track}" for track in tracks.tracks),
        genres=(*tracks.genres[:2], NASTY),
        source=f"/music/{NASTY}",
    )
    return html_report.report_page(example_report(named), name="raygenre/3", facts=FACTS)


def test_names_from_the_data_are_escaped(nasty: str) -> None:
    reader = Reader(nasty)
    assert reader.text.count(NASTY) > 10
    assert not [tag for tag, attributes in reader.tags if any(name.startswith("on") for name in attributes)]
    assert {tag for tag, _ in reader.tags}.isdisjoint({"script", "link", "iframe", "object", "form", "base"})
    assert not reader.open


def test_the_page_is_self_contained(nasty: str) -> None:
    reader = Reader(nasty)
    images = [attributes for tag, attributes in reader.tags if tag == "img"]
    assert len(images) == 2 + 2 * 2 + 2 * 10  # all tracks, two slices, ten mistakes
    for image in images:
        assert image["alt"]
        assert str(image["src"]).startswith(("data:image/png;base64,", "data:image/svg+xml;base64,"))
    assert not [attributes for _, attributes in reader.tags if "href" in attributes or "srcset" in attributes]
    assert "url(" not in nasty
    assert "@import" not in nasty
    assert "default-src 'none'" in nasty


def test_the_page_has_the_numbers_of_the_report(tracks: Dataset) -> None:
    report = example_report(tracks)
    text = Reader(html_report.report_page(report, name="raygenre/3", facts=FACTS)).text
    evaluation = report.evaluation
    low, high = evaluation.interval
    assert f"Accuracy {100 * evaluation.accuracy:.1f}\u00a0%" in text
    assert f"{100 * low:.1f}–{100 * high:.1f}\u00a0%" in text
    assert f"Macro F1 {evaluation.macro_f1:.3f}" in text
    assert report.warnings[0] in text
    for mistake in report.mistakes:
        assert mistake.track in text
    score = evaluation.scores[2]
    shares = f"{100 * score.recall:.1f}\u00a0% {100 * score.precision:.1f}\u00a0%"
    assert f"storm {score.tracks} {shares} {score.f1:.3f}" in text
    [seen, unseen] = [part for _, part in report.slices]
    assert f"trained on {seen.tracks} {100 * seen.accuracy:.1f}\u00a0%" in text
    assert f"not trained on {unseen.tracks} {100 * unseen.accuracy:.1f}\u00a0%" in text
    for heading in ("Data", "Protocol", "Calibration", "Intended use", "Limits", "Licence", "Weights"):
        assert heading in text


def test_slices_of_all_or_no_tracks_are_one_line_each(tracks: Dataset) -> None:
    report = replace(example_report(tracks), slices=(), uniform=(("faulty", False), ("with a known copy", True)))
    text = Reader(html_report.report_page(report, name="x", facts=None)).text
    assert "faulty: none of these tracks." in text
    assert "with a known copy: all of these tracks." in text


@pytest.mark.parametrize(("bins", "method"), [(1, "(Grad-CAM on"), (2, "(HiResCAM on")])
def test_the_saliency_method_is_named(tracks: Dataset, bins: int, method: str) -> None:
    model = GenreCNN(ModelConfig(genres=3, widths=(4, 4, 4), frequency_bins=bins)).eval()
    report = replace(example_report(tracks), classifier=Classifier(model, tracks.genres))
    assert method in Reader(html_report.report_page(report, name="x", facts=None)).text


def test_without_mistakes_and_slices_their_sections_are_omitted(tracks: Dataset) -> None:
    report = replace(example_report(tracks), mistakes=(), slices=())
    text = Reader(html_report.report_page(report, name="x", facts=None)).text
    assert "mistakes" not in text
    assert "Slices" not in text


def test_the_spectrogram_has_low_frequencies_at_the_bottom() -> None:
    levels = np.zeros((128, 333), dtype=np.uint8)
    levels[0, 7] = 200
    picture = np.asarray(html_report.spectrogram_image(levels).convert("RGB"))
    assert picture.shape == (128, 333, 3)
    assert (picture[127, 7] == MAGMA[200]).all()
    assert (picture[0, 0] == MAGMA[0]).all()


def test_evidence_is_highlighted_and_outlined() -> None:
    levels = np.full((128, 333), 200, dtype=np.uint8)
    saliency = np.zeros((128, 333), dtype=np.float32)
    saliency[10:21, 100:120] = 1
    picture = np.asarray(html_report.saliency_image(levels, saliency))[::-1].astype(int)
    assert (picture[15, 110] == MAGMA[200]).all()
    assert (picture[60, 110] < MAGMA[200] / 2).all()
    for row, column in ((10, 110), (20, 110), (15, 100), (15, 119)):
        assert picture[row, column].tolist() == [120, 255, 255]
    # The centre is at column 109.5 of 333, in band 15. The band's peak is the 16th of 130 points on Slaney's mel scale,
    # at 413 Hz; the nearest bin of the spectrum is at 409 Hz.
    assert html_report.saliency_centre(saliency) == "around 10 s and 409 Hz"
    assert html_report.saliency_centre(np.zeros_like(saliency)) == "nowhere in particular"


def test_spectrograms_are_valid_pngs(nasty: str) -> None:
    images = re.findall(r"data:image/png;base64,([^\"]+)", nasty)
    assert {Image.open(io.BytesIO(base64.b64decode(data))).size for data in images} == {(333, 128)}
