from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, TEMPORARILY_UNAVAILABLE
from mlflow.tracking import MlflowClient

from raygenre.evaluation.paired_test import PairedTest
from raygenre.registry import champion, promotion, versions
from raygenre.registry.decision import PromotionDecision, decision_notes
from raygenre.registry.versions import MODEL
from raygenre.system.storage import Storage
from raygenre.tracking.retries import TrackingUnreachableError
from raygenre.tracking.server import Server
from tests.helpers import rivals
from tests.helpers.mlflow_server import free_port
from tests.helpers.rivals import BELLS, DRONE, FORGETFUL, OTHER_GENRES, STORM, SYNTHETIC, Ring

AGAINST_DRONE = PairedTest(both=0, only_candidate=30, only_incumbent=10, neither=20)


def test_the_first_version_becomes_champion(ring: Ring) -> None:
    assert ring.promote(DRONE) == PromotionDecision(True, "there was no champion")
    assert ring.champion == DRONE
    assert ring.tags(DRONE)["promotion_reason"] == "there was no champion"
    assert ring.promote(DRONE).reason == "it is already the champion"
    assert ring.tags(DRONE)["promotion_reason"] == "there was no champion"


def test_a_better_version_becomes_champion_with_a_reason_tag(ring: Ring) -> None:
    champion.promote(ring.server, DRONE)
    decision = ring.promote(BELLS)
    assert decision.promote
    assert decision.comparison == AGAINST_DRONE  # excludes the ten tracks that the champion was trained on
    assert ring.champion == BELLS
    tags = ring.tags(BELLS)
    assert tags["promoted"] == "true"
    assert tags["promotion_forced"] == "false"
    assert tags["promotion_reason"] == decision.reason
    assert tags["compared_with"] == str(DRONE)
    assert [tags[name] for name in promotion.NUMBER_TAGS[:5]] == ["60", "0", "30", "10", "20"]
    assert float(tags["compared_p_value"]) == pytest.approx(AGAINST_DRONE.p_value, rel=1e-5)
    assert ring.tags(DRONE)["replaced_by"] == str(BELLS)


def test_the_run_of_the_search_has_the_same_tags_and_metrics(ring: Ring) -> None:
    champion.promote(ring.server, DRONE)
    ring.promote(BELLS)
    run = ring.search(BELLS)
    assert {name: run.data.tags[name] for name in (*promotion.TEXT_TAGS, *promotion.NUMBER_TAGS)} == {
        name: text for name, text in ring.tags(BELLS).items() if name in (*promotion.TEXT_TAGS, *promotion.NUMBER_TAGS)
    }
    assert run.data.tags["model_version"] == str(BELLS)
    assert run.data.metrics["compared_difference"] == pytest.approx(20 / 60)
    low, high = AGAINST_DRONE.interval
    assert run.data.metrics["compared_difference_low"] == pytest.approx(low)
    assert run.data.metrics["compared_difference_high"] == pytest.approx(high)


def test_a_lead_that_may_be_chance_does_not_promote(ring: Ring) -> None:
    champion.promote(ring.server, STORM)
    decision = ring.promote(BELLS)
    assert not decision.promote
    assert decision.comparison == PairedTest(both=0, only_candidate=30, only_incumbent=20, neither=10)
    assert "by chance" in decision.reason
    assert ring.champion == STORM
    assert ring.tags(BELLS)["promoted"] == "false"
    assert "replaced_by" not in ring.tags(STORM)


@pytest.mark.parametrize(
    ("version", "current", "reason"),
    [
        (SYNTHETIC, DRONE, "it was trained on synthetic tracks"),
        (
            OTHER_GENRES,
            DRONE,
            "its genres (bells, drone) differ from those of the champion, version 1 (bells, drone, storm)",
        ),
        (BELLS, FORGETFUL, "not known which tracks the champion, version 6 was trained on"),
        (FORGETFUL, DRONE, "not known which tracks this version was trained on"),
    ],
)
def test_a_version_that_cannot_be_compared_needs_force(ring: Ring, version: int, current: int, reason: str) -> None:
    champion.promote(ring.server, current)
    assert reason in ring.promote(version).reason
    assert ring.champion == current
    forced = ring.promote(version, force=True)
    assert forced.promote
    assert forced.forced
    assert reason in forced.reason
    assert ring.champion == version
    tags = ring.tags(version)
    assert tags["promotion_forced"] == "true"
    assert "@" in tags["promotion_by"]
    assert tags["promotion_when"].endswith("+00:00")
    assert tags["promotion_reason"] == forced.reason


def test_real_tracks_replace_synthetic_ones_without_a_comparison(ring: Ring) -> None:
    champion.promote(ring.server, SYNTHETIC)
    assert ring.promote(DRONE).promote
    assert ring.champion == DRONE


def test_a_forced_promotion_records_the_lost_comparison(ring: Ring) -> None:
    champion.promote(ring.server, BELLS)
    assert ring.promote(DRONE, force=True).comparison is not None
    assert int(ring.tags(DRONE)["compared_only_champion_right"]) > 0
    assert champion.rollback(ring.server) == (DRONE, BELLS)
    assert not ring.tags(BELLS)["replaced_by"]
    tags = ring.tags(DRONE)
    assert tags["replaced_by"] == str(BELLS)
    assert datetime.fromisoformat(tags["rolled_back_when"]) <= datetime.now(UTC)
    assert tags["rolled_back_by"] == tags["promotion_by"]
    ring.promote(DRONE, force=True)
    assert not ring.tags(DRONE)["rolled_back_when"]
    assert not ring.tags(DRONE)["rolled_back_by"]


def test_force_is_not_recorded_if_it_was_not_needed(ring: Ring) -> None:
    champion.promote(ring.server, DRONE)
    decision = ring.promote(BELLS, force=True)
    assert decision.promote
    assert not decision.forced


def test_force_false_prevents_promotion(ring: Ring) -> None:
    assert not ring.promote(BELLS, force=False).promote
    assert ring.champion is None
    assert ring.promote(BELLS).promote


def test_numbers_of_an_earlier_decision_are_removed(ring: Ring) -> None:
    champion.promote(ring.server, STORM)
    ring.promote(BELLS)
    champion.promote(ring.server, FORGETFUL)
    ring.promote(BELLS)
    for tags in (ring.tags(BELLS), ring.search(BELLS).data.tags):
        assert tags["compared_with"] == str(FORGETFUL)
        assert not [name for name in promotion.NUMBER_TAGS if tags.get(name)]


def test_promotion_works_without_permission_for_the_searchs_run(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object, **named: object) -> None:
        raise MlflowException("no", error_code=PERMISSION_DENIED)

    monkeypatch.setattr(MlflowClient, "log_batch", refused)
    decision = ring.promote(DRONE)
    assert decision.promote
    assert ring.champion == DRONE
    assert ring.tags(DRONE)["promoted"] == "true"
    [note] = decision_notes(decision, DRONE)
    assert "could not be recorded in its search's run: permission denied (403)" in note


def test_an_outage_before_the_decision_is_recorded_stops_it(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*arguments: object, **named: object) -> None:
        raise MlflowException("no", error_code=TEMPORARILY_UNAVAILABLE)

    monkeypatch.setattr(MlflowClient, "log_batch", unavailable)
    with pytest.raises(MlflowException):
        ring.promote(DRONE)
    assert ring.champion is None


def test_too_few_tracks_do_not_promote(ring: Ring) -> None:
    """The champion was trained on all but 40 of the candidate's test tracks."""
    champion.promote(ring.server, DRONE)
    dataset = ring.dataset
    fetched = versions.fetch(ring.server, f"models:/{MODEL}/{BELLS}")
    assert fetched.classifier.seen is not None
    kept = [track for track in fetched.classifier.seen.test if rivals.number(track) < 40]
    object.__setattr__(fetched.classifier.seen, "test", {track: fetched.classifier.seen.test[track] for track in kept})
    decision = promotion.promote_if_better(ring.server, BELLS, fetched.classifier, fetched.facts, data=lambda: dataset)
    assert not decision.promote
    assert decision.reason.startswith("only 40 tracks remain")
    assert ring.tags(BELLS)["compared_tracks"] == "40"


def test_a_champion_without_files_is_replaced_only_by_force(ring: Ring) -> None:
    client = ring.server.client
    facts = versions.fetch(ring.server, f"models:/{MODEL}/{BELLS}").facts
    assert facts is not None
    gone = client.create_model_version(MODEL, str(ring.storage.root / "nothing"), tags=facts.to_tags())
    champion.promote(ring.server, int(gone.version))
    assert "cannot be read" in ring.promote(BELLS).reason
    assert ring.champion == int(gone.version)
    assert ring.promote(BELLS, force=True).promote


def test_a_champion_registered_by_hand_keeps_its_place(ring: Ring) -> None:
    gone = ring.server.client.create_model_version(MODEL, str(ring.storage.root / "nothing"))
    champion.promote(ring.server, int(gone.version))
    assert "no record of how the champion, version 7" in ring.promote(BELLS).reason


def test_after_a_deletion_the_previous_champion_is_the_incumbent(ring: Ring) -> None:
    champion.promote(ring.server, BELLS)
    champion.promote(ring.server, DRONE)
    ring.server.client.delete_model_version(MODEL, str(DRONE))
    assert champion.find(ring.server) is None
    refused = ring.promote(STORM)
    assert (refused.promote, refused.incumbent) == (False, BELLS)
    assert ring.promote(BELLS).promote
    assert ring.champion == BELLS


def test_an_unreachable_registry_decides_nothing(ring: Ring, tmp_path: Path) -> None:
    fetched = versions.fetch(ring.server, f"models:/{MODEL}/{BELLS}")
    unreachable = Storage(tmp_path, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(TrackingUnreachableError, match="can be promoted later"):
        promotion._compare(Server(unreachable), fetched.classifier, DRONE, lambda: ring.dataset)
