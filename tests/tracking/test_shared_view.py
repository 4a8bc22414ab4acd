"""Saved views of searches in MLflow: their content, their number, and the links that open them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raygenre.search.space.space import Setting
from raygenre.system.storage import Storage, resolve
from raygenre.tracking.server import Server
from raygenre.tracking.shared_view import MAX_VIEWS, View, save_view, view_link, view_url
from raygenre.tracking.tracker import Tracker
from tests.helpers.mlflow_server import free_port
from tests.helpers.shared_views import unpack
from tests.helpers.storages import empty_storage

PREFIX = "mlflow.sharedViewState."
TAG_LIMIT = 5000  # characters that older MLflow servers accept; MLflow 3.17 accepts 20 000
VIEW = View("spring", metrics=["loss", "accuracy"], params=["decay"], tags=["state"], curves=["loss"])


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return empty_storage(tmp_path / "results")


@pytest.fixture
def tracker(storage: Storage, tmp_path: Path) -> Iterator[Tracker]:
    tracker = Tracker(Server(storage), tmp_path, "first")
    yield tracker
    tracker.close()


def tags(storage: Storage) -> dict[str, str]:
    server = Server(storage)
    return dict(server.client.get_experiment(server.experiment_id).tags)


def save(storage: Storage, study_id: str, time: int) -> None:
    server = Server(storage)
    save_view(server.client, server.experiment_id, study_id=study_id, search="1", view=VIEW, time=time)


def test_a_search_saves_a_view_of_its_trials(storage: Storage, tracker: Tracker) -> None:
    run = tracker.start("spring", "search")
    tracker.save_view(run, VIEW)
    assert tracker.flush(60), tracker.unreachable_reason
    assert tracker.refused == 0
    [(tag, text)] = tags(storage).items()
    view = json.loads(text)
    assert (view["name"], view["createdAt"]) == ("spring", view["updatedAt"])
    state = unpack(view["state"])
    assert state["selectedColumns"] == ["metrics.`loss`", "metrics.`accuracy`", "params.`decay`", "tags.`state`"]
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`loss`", True)
    assert tracker.run_id(run) in state["searchFilter"]
    assert [chart["metricKey"] for chart in state["compareRunCharts"]] == ["loss"]
    assert view_link(Server(storage)) == (
        f"/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey={tag.removeprefix(PREFIX)}"
    )


def test_the_widest_view_fits_into_a_tag() -> None:
    names = list(vars(Setting()))
    view = View("n" * 100, metrics=names, params=names, tags=names, curves=names[:4])
    assert len(names) > 5
    assert len(view.state("0" * 32)) < TAG_LIMIT - 200


def test_only_the_newest_searches_keep_their_views(storage: Storage) -> None:
    server = Server(storage)
    server.client.set_experiment_tag(server.experiment_id, f"{PREFIX}mine", json.dumps({"createdAt": 0}))
    for number in range(MAX_VIEWS + 3):
        save(storage, f"study{number}", time=1000 + number)
    kept = {f"{PREFIX}raygenre-study{number}" for number in range(3, MAX_VIEWS + 3)}
    assert tags(storage).keys() == kept | {f"{PREFIX}mine"}


def test_links_lead_to_the_newest_or_a_given_search(storage: Storage) -> None:
    runs = "/#/experiments/1/runs?workflowType=machine_learning"
    save(storage, "first", time=2000)
    save(storage, "second", time=1000)
    assert view_link(Server(storage)) == f"{runs}&viewStateShareKey=raygenre-first"
    assert view_link(Server(storage), "second") == f"{runs}&viewStateShareKey=raygenre-second"
    assert view_link(Server(storage), "other") == runs  # its view was deleted


def test_without_runs_the_link_leads_to_the_experiments(tmp_path: Path) -> None:
    storage = resolve(tmp_path / "results")
    assert view_link(Server(storage)) == "/#/experiments?workflowType=machine_learning"
    assert not storage.root.exists()
    assert view_link(Server(empty_storage(tmp_path / "other"))) == "/#/experiments?workflowType=machine_learning"


def test_only_a_reachable_server_has_an_address(storage: Storage, tmp_path: Path) -> None:
    assert view_url(Server(storage), "first") == ""
    assert view_url(Server(resolve(tmp_path, f"http://user:secret@127.0.0.1:{free_port()}")), "first") == ""


@pytest.mark.integration
def test_the_address_of_a_view_has_no_password(mlflow_server: Any, tmp_path: Path) -> None:
    storage = mlflow_server.storage(tmp_path)
    save(storage, "first", time=1000)
    with_password = resolve(tmp_path, mlflow_server.uri.replace("//", "//user:secret@") + "/")
    assert view_url(Server(with_password), "first") == mlflow_server.uri + view_link(Server(storage), "first")
