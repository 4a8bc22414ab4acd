import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from mlflow.entities import Metric

from raygenre.evaluation.paired_test import PairedTest
from raygenre.registry.run_summary import RunSummary, UnknownRunError
from raygenre.registry.versions import RegistryError
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server
from raygenre.workflows import compare, compare_page
from raygenre.workflows.compare import PairResult
from tests.helpers.rivals import BELLS, DRONE, FORGETFUL, Ring


def test_study_search_and_version_are_the_same_run(rivals_ring: Ring) -> None:
    sources = ["summer", rivals_ring.search(BELLS).info.run_id, f"models:/raygenre/{BELLS}"]
    runs = [compare.find_run(rivals_ring.server, source) for source in sources]
    assert {run.run_id for run in runs} == {runs[0].run_id}
    assert {run.model for run in runs} == {f"models:/raygenre/{BELLS}"}
    assert [run.name for run in runs] == ["summer", f"summer {sources[1][:8]}", f"version {BELLS}"]
    assert runs[0].settings["dropout"] == "0.1"
    assert runs[0].settings["trials"] == "8"  # a setting of the search
    assert runs[0].settings["training seed"] == "7"
    assert list(runs[0].values.items()) == [("test_accuracy", 0.5), ("train_loss", 2.0)]
    assert runs[0].curves == {"train_loss": ((1, 6.0), (2, 3.0), (3, 2.0))}


def test_numbers_are_formatted_for_readers() -> None:
    run = RunSummary("run", "", {"decay": "0.03333333333333333", "name": "0.1.0", "seed": "12345678"}, {}, {})
    assert [compare_page.setting_text(run, name) for name in ("decay", "name", "seed", "none")] == [
        "0.0333333",
        "0.1.0",
        "12345678",
        "–",
    ]
    numbers = (0.417085, 101578.0, 0.0, 5.5e19, math.nan, -math.inf, None)
    texts = ["0.4171", "101,578", "0", "5.5e+19", "nan", "-inf", "–"]
    assert [compare_page.metric_text(value) for value in numbers] == texts


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("winter", UnknownRunError, "studies: autumn, more, spring, summer"),
        ("0" * 32, UnknownRunError, "MLflow has no run 0000"),
        ("models:/raygenre/99", RegistryError, "no model"),
    ],
)
def test_unknown_runs_and_versions_are_errors(
    rivals_ring: Ring, source: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        compare.find_run(rivals_ring.server, source)


def test_a_version_registered_by_hand_has_no_run(rivals_ring: Ring, tmp_path: Path) -> None:
    ring = rivals_ring.copy(tmp_path)
    version = ring.server.client.create_model_version("raygenre", str(tmp_path / "nothing"))
    with pytest.raises(UnknownRunError, match="registered by hand"):
        compare.find_run(ring.server, f"models:/raygenre/{version.version}")


def test_looking_up_a_run_creates_no_files(tmp_path: Path) -> None:
    with pytest.raises(UnknownRunError, match="make tune"):
        compare.find_run(Server(resolve(tmp_path / "none")), "spring")
    assert not list(tmp_path.iterdir())


def test_differing_settings_are_separated_from_equal_ones(rivals_ring: Ring) -> None:
    runs = [compare.find_run(rivals_ring.server, study) for study in ("spring", "autumn", "summer")]
    differing, same = compare.split_settings(runs)
    assert differing == ["dropout"]
    assert same == ["training seed", "trials"]


def test_versions_are_compared_on_tracks_new_to_both(rivals_ring: Ring) -> None:
    runs = [
        compare.find_run(rivals_ring.server, f"models:/raygenre/{version}") for version in (BELLS, DRONE, FORGETFUL)
    ]
    first, *others = compare.compare_pairs(rivals_ring.server, runs, None)
    assert (first.first, first.second) == (f"version {BELLS}", f"version {DRONE}")
    assert first.comparison == PairedTest(both=0, only_candidate=30, only_incumbent=10, neither=20)
    assert {pair.note for pair in others} == {"it is not known which tracks one of them was trained on"}


def test_versions_without_their_tracks_are_not_compared(rivals_ring: Ring) -> None:
    runs = [compare.find_run(rivals_ring.server, study) for study in ("spring", "summer")]
    [pair] = compare.compare_pairs(rivals_ring.server, runs, Path("/nowhere"))
    assert pair.comparison is None
    assert "/nowhere" in pair.note
    assert compare.compare_pairs(rivals_ring.server, runs[:1], None) == []
    assert compare.unpaired_reason(runs) == ""


def test_the_reason_for_no_paired_test_is_reported() -> None:
    version, trial = (
        RunSummary(name, "a" * 32, {}, {}, {}, model) for name, model in (("1st", "models:/x/1"), ("2nd", ""))
    )
    only = "No paired test: it requires two registered versions, but only 1st has one"
    assert compare.unpaired_reason([version, trial]) == only
    assert compare.unpaired_reason([trial, trial]).endswith("none of these runs has one")
    assert only in compare_page.comparison_page([version, trial], [])


def test_measurements_of_speed_and_system_have_no_curve(rivals_ring: Ring, tmp_path: Path) -> None:
    ring = rivals_ring.copy(tmp_path)
    run_id = compare.find_run(ring.server, "spring").run_id
    names = ("seconds", "images_per_second", "system/cpu_utilization_percentage", "validation_loss")
    metrics = [Metric(name, 1.0, 0, step) for name in names for step in (1, 2)]
    ring.server.client.log_batch(run_id, metrics)
    assert compare.find_run(ring.server, "spring").curves.keys() == {"train_loss", "validation_loss"}


class Page(HTMLParser):
    """The tags, the sources and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data: str) -> None:
        self.words += data


NASTY = "<script>alert(1)</script>\"'&$x^2$_"


def test_the_page_loads_nothing_and_escapes_names() -> None:
    curves = {NASTY: ((1, 2.0), (2, 1.0))}
    first = RunSummary(NASTY, "a" * 32, {"data": NASTY, "same": NASTY}, {"test_accuracy": 0.5}, curves)
    second = RunSummary("_other", "b" * 32, {"same": NASTY}, {"test_accuracy": 0.25, "flops": 807855360.0}, {})
    text = compare_page.comparison_page(
        [first, second],
        [PairResult(NASTY, "_other", None, NASTY), PairResult(NASTY, "_other", PairedTest(10, 9, 1, 5))],
    )
    page = Page()
    page.feed(text)
    assert "script" not in page.tags
    assert page.sources
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not re.search(r"https?://|url\(|@import", text)
    assert page.words.count(NASTY) > 6
    assert "807,855,360" in page.words
    assert "+32.0 points" in page.words
    assert "p = 0.021" in page.words


def test_the_page_has_one_figure_per_curve(rivals_ring: Ring) -> None:
    runs = [compare.find_run(rivals_ring.server, study) for study in ("spring", "summer")]
    page = Page()
    page.feed(compare_page.comparison_page(runs, []))
    assert page.tags.count("img") == 1
    assert "dropout" in page.words
