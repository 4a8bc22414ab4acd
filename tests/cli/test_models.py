"""The commands for registered versions: models, promote and compare."""

import json
import shutil
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from raygenre.cli import app
from raygenre.evaluation.metrics import wilson_interval
from raygenre.registry import champion
from tests.helpers.mlflow_server import free_port
from tests.helpers.rivals import BELLS, DRONE, STORM, Ring


@pytest.fixture
def ring(rivals_ring: Ring, tmp_path: Path) -> Ring:
    return rivals_ring.copy(tmp_path / "results")


def call(ring: Ring, *arguments: object) -> Result:
    result = CliRunner().invoke(app, [*map(str, arguments), "--storage", str(ring.storage.root)])
    assert result.exit_code in (0, 1, 2), result.output
    return result


def test_models_lists_versions_newest_first(ring: Ring) -> None:
    champion.promote(ring.server, BELLS)
    ring.server.client.create_model_version("raygenre", "/nothing")
    head, newest, *lines = call(ring, "models").stdout.splitlines()
    older = [line for line in lines if "synthetic" not in line]
    assert head.split()[:2] == ["version", "alias"]
    assert newest.split()[:2] == ["7", "–"]
    assert [line.split()[0] for line in older] == ["6", "5", "4", "3", "2", "1"]
    assert "champion 50.0% of 70 (38.6–61.4)" in older[-2]
    assert ring.dataset.digest[:8] in older[-2]
    assert "summer" in older[-2]
    assert ring.dataset.digest[:8] in older[-4]
    assert lines[lines.index(older[-4]) + 1].strip() == "synthetic"


def test_models_as_json_have_all_tags(ring: Ring) -> None:
    ring.promote(BELLS)
    records = [json.loads(line) for line in call(ring, "models", "--json").stdout.splitlines()]
    assert [record["version"] for record in records] == [6, 5, 4, 3, 2, 1]
    bells = records[-BELLS]
    assert bells["aliases"] == ["champion"]
    assert bells["interval"] == pytest.approx(wilson_interval(35, 70))
    assert (bells["test_tracks"], bells["data_digest"]) == (70, ring.dataset.digest)
    assert bells["tags"]["promotion_reason"] == "there was no champion"


def test_listing_versions_creates_no_registry(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["models", "--storage", str(tmp_path / "none")])
    assert result.exit_code == 0
    assert "make tune" in result.stdout
    assert not list(tmp_path.iterdir())


def test_promote_prints_the_reason(ring: Ring) -> None:
    assert call(ring, "promote", DRONE).exit_code == 0
    result = call(ring, "promote", BELLS)
    assert result.exit_code == 0, result.output
    assert "version 2 is the champion: it is better" in result.stdout
    text = " ".join(result.stdout.split())
    assert "correct on 50.0% of these 60 tracks, version 1 on 16.7%: +33.3 points" in text
    assert "version 2 correct 0 30" in text
    assert ring.champion == BELLS


def test_promote_rejects_a_version_and_names_force(ring: Ring) -> None:
    champion.promote(ring.server, STORM)
    result = call(ring, "promote", BELLS)
    assert result.exit_code == 1
    assert "by chance" in result.stdout
    assert "raygenre promote 2 --force" in result.stdout
    assert ring.champion == STORM
    assert call(ring, "promote", BELLS, "--force").exit_code == 0
    assert ring.champion == BELLS
    assert ring.tags(BELLS)["promotion_forced"] == "true"


def test_the_reason_of_the_user_is_recorded_until_the_next(ring: Ring) -> None:
    champion.promote(ring.server, STORM)
    assert call(ring, "promote", BELLS, "--force", "--reason", "better to my ears").exit_code == 0
    for tags in (ring.tags(BELLS), ring.search(BELLS).data.tags):
        assert tags["promotion_user_reason"] == "better to my ears"
        assert (tags["promotion_forced"], "@" in tags["promotion_by"]) == ("true", True)
    champion.promote(ring.server, STORM)
    assert call(ring, "promote", BELLS).exit_code == 1
    assert not ring.tags(BELLS)["promotion_user_reason"]
    assert "promotion_user_reason" not in ring.search(BELLS).data.tags
    result = call(ring, "promote", BELLS, "--reason", "why not")
    assert result.exit_code == 2
    assert "--force" in result.stderr


def test_a_guessing_version_is_listed_as_such_and_not_served(ring: Ring) -> None:
    ring.server.client.set_model_version_tag("raygenre", str(BELLS), "test_guessing", "0.5")
    result = call(ring, "promote", BELLS)
    assert result.exit_code == 1
    assert "it is no better than chance: 35 of 70 test tracks" in " ".join(result.stdout.split())
    assert ring.champion is None
    assert call(ring, "models").stdout.count("no better than chance") == 1
    missing = call(ring, "evaluate")
    assert missing.exit_code == 2
    assert "is the champion; list the versions with `raygenre models`" in missing.stderr


def test_promote_requires_data_that_have_moved(ring: Ring, tmp_path: Path) -> None:
    champion.promote(ring.server, DRONE)
    ring.server.client.set_model_version_tag("raygenre", str(BELLS), "data", str(tmp_path / "gone"))
    result = call(ring, "promote", BELLS)
    assert result.exit_code == 1
    assert "--data" in result.stdout
    assert call(ring, "promote", BELLS, "--data", ring.dataset.source).exit_code == 0


def test_promote_rejects_missing_or_changed_test_tracks(ring: Ring, tmp_path: Path) -> None:
    champion.promote(ring.server, DRONE)
    copied = Path(shutil.copytree(ring.dataset.source, tmp_path / "copied"))
    bells = copied / "images_original" / "bells"
    (bells / "bells00000.png").unlink()
    shutil.copy(bells / "bells00001.png", bells / "bells00002.png")
    (bells / "bells00084.png").unlink(missing_ok=True)  # not a test track
    result = call(ring, "promote", BELLS, "--data", copied)
    assert result.exit_code == 1
    assert "2 of its 70 test tracks are missing or changed in" in " ".join(result.stdout.split())


def test_promote_of_an_unknown_version_is_an_error(ring: Ring) -> None:
    result = call(ring, "promote", 99)
    assert result.exit_code == 2
    assert "no model models:/raygenre/99" in result.stderr


def test_compare_prints_studies_and_versions_side_by_side(ring: Ring, tmp_path: Path) -> None:
    page = tmp_path / "compare.html"
    result = call(ring, "compare", "spring", f"models:/raygenre/{BELLS}", "-o", page)
    assert result.exit_code == 0, result.output
    assert result.stdout.split()[:2] == ["final", "metric"]
    assert "dropout" in result.stdout
    assert "2 settings are the same" in result.stdout
    text = " ".join(result.stdout.split())
    assert "spring is correct on 16.7% of these 60 tracks, version 2 on 50.0%" in text
    assert "p = 0.0022" in text
    assert "p = 0.0022" in page.read_text()


def test_compare_prints_few_rows_and_all_on_request(ring: Ring) -> None:
    runs = ["spring", f"models:/raygenre/{BELLS}"]
    client = ring.server.client
    for version in (1, BELLS):
        run_id = str(client.get_model_version("raygenre", str(version)).run_id)
        for number in range(40):
            client.log_metric(run_id, f"test_slice/slice_{number}/accuracy", 0.25)
        client.log_metric(run_id, "test_macro_f1", 5.5e19)
    short = call(ring, "compare", *runs).stdout
    assert len(short.split("Not shown")[0].splitlines()) < 15
    assert "5.5e+19" in short
    assert "Not shown without --all: metrics (40), learning curves (1)" in short
    full = call(ring, "compare", *runs, "--all").stdout
    assert full.count("test_slice/") == 40
    assert "6 → 2" in full
    assert "Not shown" not in full


def test_compare_of_evaluations_shows_their_options(ring: Ring) -> None:
    server = ring.server
    runs = []
    for split, accuracy in (("test", 0.5), ("all", 0.75)):
        run = server.client.create_run(server.experiment_id, tags={"role": "evaluation"}, run_name="evaluation")
        server.client.log_param(run.info.run_id, "split", split)
        server.client.log_metric(run.info.run_id, f"{split}_accuracy", accuracy)
        runs.append(run.info.run_id)
    lines = [line.split() for line in call(ring, "compare", *runs).stdout.splitlines()]
    assert ["test_accuracy", "0.5", "–"] in lines
    assert ["all_accuracy", "–", "0.75"] in lines
    assert ["split", "test", "all"] in lines
    other = call(ring, "compare", runs[0], "spring").stdout
    assert "split" not in other
    assert "settings missing from some of the runs (4)" in other


def test_compare_prints_why_trials_have_no_paired_test(ring: Ring) -> None:
    search = ring.search(BELLS).info
    client = ring.server.client
    trial = client.create_run(search.experiment_id, tags={"role": "trial", "mlflow.parentRunId": search.run_id})
    result = call(ring, "compare", trial.info.run_id, f"models:/raygenre/{BELLS}")
    assert f"but only version {BELLS} has one" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["spring"], "at least two runs"),
        (["spring", "winter"], "winter is not a run id"),
        (["spring", "summer", "-o", "page.pdf"], "must end in .html"),
    ],
)
def test_compare_rejects_wrong_arguments(ring: Ring, arguments: list[str], message: str) -> None:
    result = call(ring, "compare", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("arguments", [["models"], ["rollback"], ["promote", "1"], ["compare", "spring", "summer"]])
def test_an_unreachable_server_is_reported_at_once(arguments: list[str], tmp_path: Path) -> None:
    started = time.monotonic()
    where = ["--storage", str(tmp_path), "--tracking-uri", f"http://someone:secret@127.0.0.1:{free_port()}"]
    result = CliRunner().invoke(app, [*arguments, *where])
    assert result.exit_code == 2
    assert "connection refused" in result.stderr
    assert "secret" not in result.output
    assert time.monotonic() - started < 20
