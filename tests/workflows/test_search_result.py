"""The result of a finished search is read from its study and from MLflow."""

import json
from pathlib import Path

import pytest

from raygenre.data.dataset import Dataset
from raygenre.tracking.server import Server
from raygenre.workflows.result_rows import ROWS
from raygenre.workflows.results import read, write
from raygenre.workflows.search_result import UnfinishedSearchError, search_result
from tests.conftest import FinishedSearch, new_ledger
from tests.helpers.storages import empty_storage


def test_the_result_is_that_of_the_search(finished: FinishedSearch, tmp_path: Path) -> None:
    setting, result = search_result(finished.server, finished.ledger)
    winner, evaluation = finished.outcome.candidate.winner, finished.outcome.evaluation
    assert setting == winner.setting
    assert (result["hits"], result["tracks"]) == (evaluation.hits, evaluation.tracks)
    assert result["confusion"] == evaluation.confusion.tolist()
    assert sum(result["trials"].values()) == len(finished.ledger.trials)
    best = result["finalists"][0]
    assert best["optimism"] == pytest.approx(winner.optimism)
    assert best["learning_rate"] == winner.setting.learning_rate
    assert result["importances"].keys() <= finished.ledger.config.distributions.keys()
    write(tmp_path, ROWS["search"], 0, result, setting=setting, command="tune")
    content = read(tmp_path, ROWS["search"])
    assert content
    assert content["seeds"]["0"] == json.loads(json.dumps(result))


def test_a_search_without_a_model_is_an_error(tracks: Dataset, tmp_path: Path) -> None:
    server = Server(empty_storage(tmp_path / "storage"))
    with pytest.raises(UnfinishedSearchError, match="has no registered model; finish it with --resume"):
        search_result(server, new_ledger(tmp_path, tracks, trials=2))
