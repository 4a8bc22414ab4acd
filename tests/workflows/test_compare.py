import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from mlflow.entities import Metric

from raygenre.evaluation.paired_test import PairedTest
from raygenre.registry.versions import RegistryError
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server
from raygenre.workflows import compare, compare_page
from raygenre.workflows.compare import Match, Subject, UnknownRunError
from tests.helpers.rivals import BELLS, DRONE, FORGETFUL, Ring


def test_a_study_and_its_search_and_its_version_are_the_same_run(rivals_ring: Ring) -> None:
    sources = ["summer", rivals_ring.search(BELLS).info.run_id, f"models:/raygenre/{BELLS}"]
    found = [compare.subject(rivals_ring.storage, source) for source in sources]
    assert {one.run_id for one in found} == {found[0].run_id}
    assert {one.model for one in found} == {f"models:/raygenre/{BELLS}"}
    assert [one.name for one in found] == ["summer", f"summer {sources[1][:8]}", f"version {BELLS}"]
    assert found[0].settings["dropout"] == "0.1"
    assert found[0].settings["trials"] == "8"  # of the search
    assert found[0].settings["training seed"] == "7"
    assert list(found[0].values.items()) == [("test_accuracy", 0.5), ("train_loss", 2.0)]
    assert found[0].curves == {"train_loss": ((1, 6.0), (2, 3.0), (3, 2.0))}


def test_numbers_are_written_to_be_read() -> None:
    one = Subject("one", "", {"decay": "0.03333333333333333", "name": "0.1.0", "seed": "12345678"}, {}, {})
    assert [compare_page.setting_text(one, name) for name in ("decay", "name", "seed", "none")] == [
        "0.0333333",
        "0.1.0",
        "12345678",
        "–",
    ]
    numbers = (0.417085, 101578.0, 0.0, math.nan, -math.inf, None)
    assert [compare_page.metric_text(value) for value in numbers] == ["0.4171", "101,578", "0", "nan", "-inf", "–"]


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("winter", UnknownRunError, "studies: autumn, more, spring, summer"),
        ("0" * 32, UnknownRunError, "MLflow has no run 0000"),
        ("models:/raygenre/99", RegistryError, "no model"),
    ],
)
def test_what_is_not_there_is_named(rivals_ring: Ring, source: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        compare.subject(rivals_ring.storage, source)


def test_a_version_registered_by_hand_has_no_run(rivals_ring: Ring, tmp_path: Path) -> None:
    ring = rivals_ring.copy(tmp_path)
    made = Server(ring.storage).client.create_model_version("raygenre", str(tmp_path / "nothing"))
    with pytest.raises(UnknownRunError, match="registered by hand"):
        compare.subject(ring.storage, f"models:/raygenre/{made.version}")


def test_an_empty_storage_is_not_filled_by_looking(tmp_path: Path) -> None:
    with pytest.raises(UnknownRunError, match="make tune"):
        compare.subject(resolve(tmp_path / "none"), "spring")
    assert not list(tmp_path.iterdir())


def test_settings_that_differ_are_told_from_those_that_do_not(rivals_ring: Ring) -> None:
    subjects = [compare.subject(rivals_ring.storage, study) for study in ("spring", "autumn", "summer")]
    differ, same = compare.differing(subjects)
    assert differ == ["dropout"]
    assert same == ["training seed", "trials"]


def test_versions_meet_on_what_taught_neither(rivals_ring: Ring) -> None:
    subjects = [
        compare.subject(rivals_ring.storage, f"models:/raygenre/{version}") for version in (BELLS, DRONE, FORGETFUL)
    ]
    first, *others = compare.matches(rivals_ring.storage, subjects, None)
    assert (first.first, first.second) == (f"version {BELLS}", f"version {DRONE}")
    assert first.comparison == PairedTest(both=0, only_candidate=30, only_incumbent=10, neither=20)
    assert {match.note for match in others} == {"it is not known which tracks one of them was trained on"}


def test_without_their_tracks_versions_are_set_side_by_side_alone(rivals_ring: Ring) -> None:
    subjects = [compare.subject(rivals_ring.storage, study) for study in ("spring", "summer")]
    [match] = compare.matches(rivals_ring.storage, subjects, Path("/nowhere"))
    assert match.comparison is None
    assert "/nowhere" in match.note
    assert compare.matches(rivals_ring.storage, subjects[:1], None) == []
    assert compare.unmatched(subjects) == ""


def test_why_there_is_no_paired_test_is_said() -> None:
    version, trial = (
        Subject(name, "a" * 32, {}, {}, {}, model) for name, model in (("1st", "models:/x/1"), ("2nd", ""))
    )
    only = "There is no paired test: it needs two registered versions, and of these only 1st has one"
    assert compare.unmatched([version, trial]) == only
    assert compare.unmatched([trial, trial]).endswith("none of these has one")
    assert only in compare_page.comparison_page([version, trial], [])


def test_what_was_measured_and_not_learned_is_no_curve(rivals_ring: Ring, tmp_path: Path) -> None:
    ring = rivals_ring.copy(tmp_path)
    run_id = compare.subject(ring.storage, "spring").run_id
    names = ("seconds", "images_per_second", "system/cpu_utilization_percentage", "validation_loss")
    metrics = [Metric(name, 1.0, 0, step) for name in names for step in (1, 2)]
    Server(ring.storage).client.log_batch(run_id, metrics)
    assert compare.subject(ring.storage, "spring").curves.keys() == {"train_loss", "validation_loss"}


class Page(HTMLParser):
    """What a browser would load, run or show of a page."""

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


def test_the_page_asks_nothing_and_runs_nothing_that_a_name_holds() -> None:
    curves = {NASTY: ((1, 2.0), (2, 1.0))}
    one = Subject(NASTY, "a" * 32, {"data": NASTY, "same": NASTY}, {"test_accuracy": 0.5}, curves)
    other = Subject("_other", "b" * 32, {"same": NASTY}, {"test_accuracy": 0.25, "flops": 807855360.0}, {})
    text = compare_page.comparison_page(
        [one, other], [Match(NASTY, "_other", None, NASTY), Match(NASTY, "_other", PairedTest(10, 9, 1, 5))]
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


def test_the_page_has_a_picture_a_curve(rivals_ring: Ring) -> None:
    subjects = [compare.subject(rivals_ring.storage, study) for study in ("spring", "summer")]
    page = Page()
    page.feed(compare_page.comparison_page(subjects, []))
    assert page.tags.count("img") == 1
    assert "dropout" in page.words
