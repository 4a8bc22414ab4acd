import io
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, TEMPORARILY_UNAVAILABLE
from mlflow.tracking import MlflowClient
from rich.console import Console

from raygenre.evaluation.paired_test import PairedTest
from raygenre.registry import champion as alias
from raygenre.registry import promotion
from raygenre.registry import versions as registry
from raygenre.registry.decision import PromotionDecision, decision_text
from raygenre.registry.versions import MODEL
from raygenre.system.storage import Storage
from raygenre.tracking.server import Server, TrackingUnreachableError
from tests.helpers import rivals
from tests.helpers.mlflow_server import MlflowServer, free_port
from tests.helpers.project import ROOT
from tests.helpers.rivals import BELLS, DRONE, FORGETFUL, OTHER_GENRES, STORM, SYNTHETIC, Ring

AGAINST_DRONE = PairedTest(both=0, candidate=30, incumbent=10, neither=20)


@pytest.fixture
def ring(rivals_ring: Ring, tmp_path: Path) -> Ring:
    return rivals_ring.copy(tmp_path)


def test_the_first_becomes_champion(ring: Ring) -> None:
    assert ring.challenge(DRONE) == PromotionDecision(True, "there was no champion")
    assert ring.champion == DRONE
    assert ring.tags(DRONE)["promotion_reason"] == "there was no champion"
    assert ring.challenge(DRONE).reason == "it is the champion already"
    assert ring.tags(DRONE)["promotion_reason"] == "there was no champion"


def test_a_better_one_takes_the_place_and_says_why(ring: Ring) -> None:
    alias.promote(ring.storage, DRONE)
    decision = ring.challenge(BELLS)
    assert decision.promote
    assert decision.comparison == AGAINST_DRONE  # the ten tracks that the champion was taught are left out
    assert ring.champion == BELLS
    tags = ring.tags(BELLS)
    assert tags["promoted"] == "true"
    assert tags["promotion_forced"] == "false"
    assert tags["promotion_reason"] == decision.reason
    assert tags["compared_with"] == str(DRONE)
    assert [tags[name] for name in promotion.NUMBERS[:5]] == ["60", "0", "30", "10", "20"]
    assert float(tags["compared_p_value"]) == pytest.approx(AGAINST_DRONE.p_value, rel=1e-5)
    assert ring.tags(DRONE)["replaced_by"] == str(BELLS)


def test_the_searchs_run_has_the_same_numbers(ring: Ring) -> None:
    alias.promote(ring.storage, DRONE)
    ring.challenge(BELLS)
    run = ring.search(BELLS)
    assert {name: run.data.tags[name] for name in (*promotion.WORDS, *promotion.NUMBERS)} == {
        name: text for name, text in ring.tags(BELLS).items() if name in (*promotion.WORDS, *promotion.NUMBERS)
    }
    assert run.data.tags["model_version"] == str(BELLS)
    assert run.data.metrics["compared_difference"] == pytest.approx(20 / 60)
    low, high = AGAINST_DRONE.interval
    assert run.data.metrics["compared_difference_low"] == pytest.approx(low)
    assert run.data.metrics["compared_difference_high"] == pytest.approx(high)


def test_one_that_may_be_better_by_chance_stays_behind_and_says_why(ring: Ring) -> None:
    alias.promote(ring.storage, STORM)
    decision = ring.challenge(BELLS)
    assert not decision.promote
    assert decision.comparison == PairedTest(both=0, candidate=30, incumbent=20, neither=10)
    assert "by chance" in decision.reason
    assert ring.champion == STORM
    assert ring.tags(BELLS)["promoted"] == "false"
    assert "replaced_by" not in ring.tags(STORM)


@pytest.mark.parametrize(
    ("version", "champion", "reason"),
    [
        (SYNTHETIC, DRONE, "it was trained on synthetic tracks"),
        (OTHER_GENRES, DRONE, "names other genres (bells, drone) than the champion, version 1 (bells, drone, storm)"),
        (BELLS, FORGETFUL, "not known which tracks the champion, version 6 was trained on"),
        (FORGETFUL, DRONE, "not known which tracks this version was trained on"),
    ],
)
def test_what_cannot_be_compared_stays_behind_unless_forced(
    ring: Ring, version: int, champion: int, reason: str
) -> None:
    alias.promote(ring.storage, champion)
    assert reason in ring.challenge(version).reason
    assert ring.champion == champion
    forced = ring.challenge(version, force=True)
    assert forced.promote
    assert forced.forced
    assert reason in forced.reason
    assert ring.champion == version
    tags = ring.tags(version)
    assert tags["promotion_forced"] == "true"
    assert "@" in tags["promotion_by"]
    assert tags["promotion_when"].endswith("+00:00")
    assert tags["promotion_reason"] == forced.reason


def test_music_takes_the_place_of_synthetic_tracks_without_a_comparison(ring: Ring) -> None:
    alias.promote(ring.storage, SYNTHETIC)
    assert ring.challenge(DRONE).promote
    assert ring.champion == DRONE


def test_a_forced_one_keeps_the_numbers_that_spoke_against_it(ring: Ring) -> None:
    alias.promote(ring.storage, BELLS)
    assert ring.challenge(DRONE, force=True).comparison is not None
    assert int(ring.tags(DRONE)["compared_only_champion_right"]) > 0
    assert alias.rollback(ring.storage) == (DRONE, BELLS)
    assert not ring.tags(BELLS)["replaced_by"]
    tags = ring.tags(DRONE)
    assert tags["replaced_by"] == str(BELLS)
    assert datetime.fromisoformat(tags["rolled_back_when"]) <= datetime.now(UTC)
    assert tags["rolled_back_by"] == tags["promotion_by"]
    ring.challenge(DRONE, force=True)
    assert not ring.tags(DRONE)["rolled_back_when"]
    assert not ring.tags(DRONE)["rolled_back_by"]


def test_force_is_not_noted_where_none_was_needed(ring: Ring) -> None:
    alias.promote(ring.storage, DRONE)
    decision = ring.challenge(BELLS, force=True)
    assert decision.promote
    assert not decision.forced


def test_one_that_is_held_back_stays_behind(ring: Ring) -> None:
    assert not ring.challenge(BELLS, force=False).promote
    assert ring.champion is None
    assert ring.challenge(BELLS).promote


def test_numbers_of_an_earlier_decision_are_taken_away(ring: Ring) -> None:
    alias.promote(ring.storage, STORM)
    ring.challenge(BELLS)
    alias.promote(ring.storage, FORGETFUL)
    ring.challenge(BELLS)
    for tags in (ring.tags(BELLS), ring.search(BELLS).data.tags):
        assert tags["compared_with"] == str(FORGETFUL)
        assert not [name for name in promotion.NUMBERS if tags.get(name)]


def test_who_may_not_write_into_the_searchs_run_changes_the_champion_all_the_same(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **named: object) -> None:
        raise MlflowException("no", error_code=PERMISSION_DENIED)

    monkeypatch.setattr(MlflowClient, "log_batch", refused)
    decision = ring.challenge(DRONE)
    assert decision.promote
    assert ring.champion == DRONE
    assert ring.tags(DRONE)["promoted"] == "true"
    text = io.StringIO()
    Console(file=text, width=300).print(decision_text(decision, DRONE))
    assert "the run of its search does not: permission denied (403)" in text.getvalue()


def test_where_mlflow_goes_away_before_the_searchs_run_is_told_nobody_is_crowned(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*arguments: object, **named: object) -> None:
        raise MlflowException("no", error_code=TEMPORARILY_UNAVAILABLE)

    monkeypatch.setattr(MlflowClient, "log_batch", away)
    with pytest.raises(MlflowException):
        ring.challenge(DRONE)
    assert ring.champion is None


def test_too_few_tracks_decide_nothing(ring: Ring) -> None:
    """The champion was taught all tracks that it has in common with the candidate's test but 40."""
    alias.promote(ring.storage, DRONE)
    dataset = ring.dataset
    fetched = registry.fetch(ring.storage, f"models:/{MODEL}/{BELLS}")
    assert fetched.classifier.seen is not None
    kept = [track for track in fetched.classifier.seen.test if rivals.number(track) < 40]
    object.__setattr__(fetched.classifier.seen, "test", {track: fetched.classifier.seen.test[track] for track in kept})
    decision = promotion.promote_if_better(
        ring.storage, BELLS, fetched.classifier, fetched.evidence, data=lambda: dataset
    )
    assert not decision.promote
    assert decision.reason.startswith("only 40 tracks are left")
    assert ring.tags(BELLS)["compared_tracks"] == "40"


def test_a_champion_whose_files_are_gone_stays_until_another_is_forced(ring: Ring) -> None:
    client = Server(ring.storage).client
    evidence = registry.fetch(ring.storage, f"models:/{MODEL}/{BELLS}").evidence
    assert evidence is not None
    gone = client.create_model_version(MODEL, str(ring.storage.root / "nothing"), tags=evidence.to_tags())
    alias.promote(ring.storage, int(gone.version))
    assert "cannot be read" in ring.challenge(BELLS).reason
    assert ring.champion == int(gone.version)
    assert ring.challenge(BELLS, force=True).promote


def test_a_champion_registered_by_hand_stays_until_another_is_forced(ring: Ring) -> None:
    gone = Server(ring.storage).client.create_model_version(MODEL, str(ring.storage.root / "nothing"))
    alias.promote(ring.storage, int(gone.version))
    assert "nothing is known of how the champion, version 7" in ring.challenge(BELLS).reason


def meet(storage: Storage, versions: tuple[int, ...], data: Path, folder: Path) -> None:
    """Have versions challenge the same champion, each in a process of its own."""
    folder.mkdir()
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.challenger", str(storage.root), storage.tracking_uri, str(version),
             str(data), str(folder), str(len(versions))],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
        )
        for version in versions
    ]  # fmt: skip
    for process in processes:
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == 0, printed


def check_that_one_won_cleanly(ring: Ring) -> None:
    winner = ring.champion
    assert winner in (BELLS, STORM)
    loser = BELLS + STORM - winner
    assert [ring.tags(version)["promoted"] for version in (winner, loser)] == ["true", "false"]
    assert ring.tags(winner)["compared_with"] == str(DRONE)
    assert ring.tags(loser)["compared_with"] == str(winner)
    assert alias.champions_before(ring.storage) == [DRONE]
    assert alias.rollback(ring.storage) == (winner, DRONE)


@pytest.mark.slow
def test_of_two_that_challenge_at_once_one_wins_and_the_other_was_judged_against_it(ring: Ring, tmp_path: Path) -> None:
    """Each of them is better than the champion, and neither than the other."""
    alias.promote(ring.storage, DRONE)
    meet(ring.storage, (BELLS, STORM), Path(ring.dataset.source), tmp_path / "meeting")
    check_that_one_won_cleanly(ring)


@pytest.mark.slow
def test_so_it_is_on_a_server(mlflow_server: MlflowServer, rivals_ring: Ring, tmp_path: Path) -> None:
    ring = Ring(mlflow_server.storage(tmp_path / "storage"), rivals_ring.dataset)
    for favourite in (1, 0, 2):
        rivals.register(ring.storage, rivals.rival(ring.dataset, favourite), ring.dataset)
    alias.promote(ring.storage, DRONE)
    meet(ring.storage, (BELLS, STORM), Path(ring.dataset.source), tmp_path / "meeting")
    check_that_one_won_cleanly(ring)
    names = [model.name for model in Server(ring.storage).client.search_registered_models()]
    assert names == [MODEL]  # the lock was given back


def test_where_the_champion_was_deleted_the_one_before_is_who_counts(ring: Ring) -> None:
    alias.promote(ring.storage, BELLS)
    alias.promote(ring.storage, DRONE)
    Server(ring.storage).client.delete_model_version(MODEL, str(DRONE))
    assert alias.champion(ring.storage) is None
    refused = ring.challenge(STORM)
    assert (refused.promote, refused.incumbent) == (False, BELLS)
    assert ring.challenge(BELLS).promote
    assert ring.champion == BELLS


def test_a_registry_that_is_away_is_no_verdict(ring: Ring, tmp_path: Path) -> None:
    fetched = registry.fetch(ring.storage, f"models:/{MODEL}/{BELLS}")
    assert fetched.evidence is not None
    away = Storage(tmp_path, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(TrackingUnreachableError, match="can be promoted later"):
        promotion._by_evidence(
            away, fetched.classifier, fetched.evidence, (DRONE, fetched.evidence), lambda: ring.dataset
        )
