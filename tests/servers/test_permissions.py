"""EDIT permission on the model is enough to change its champion."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from raygenre.data.dataset import Dataset
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.registry import champion, promotion
from raygenre.tracking.server import Server
from raygenre.tracking.server_errors import TrackingError
from tests.servers.conftest import ADMIN, GUEST, SINGER, Team, become

pytestmark = pytest.mark.slow


@pytest.fixture
def versions(team: Team, singer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Create two versions, without files, from a search's child run; finally, restore the champion for other tests."""
    server = Server(team.mlflow.storage(tmp_path))
    client = server.client
    with suppress(TrackingError):  # it may already exist from an earlier search
        client.create_registered_model("raygenre")
    before = champion.find(server)
    experiment = server.experiment_id  # the guest may only read this experiment
    search = client.create_run(experiment, tags={"role": "search"}).info.run_id
    final = client.create_run(experiment, tags={"mlflow.parentRunId": search}).info.run_id
    created = [client.create_model_version("raygenre", "s3://nothing/at/all", run_id=final).version for _ in range(2)]
    yield int(created[0]), int(created[1])
    become(monkeypatch, *SINGER)
    for version in created:
        client.delete_model_version("raygenre", version)
    if before:
        champion.promote(server, before[0])


def test_edit_permission_is_enough_to_change_the_champion(
    team: Team, versions: tuple[int, int], tracks: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(team.mlflow.storage(tmp_path))
    client = server.client
    final = client.get_model_version("raygenre", str(versions[0])).run_id
    assert final
    search = client.get_run(final).data.tags["mlflow.parentRunId"]
    champion.promote(server, versions[0])
    response = requests.post(
        f"{team.mlflow.uri}/api/3.0/mlflow/users/permissions/grant",
        json={
            "username": GUEST[0],
            "resource_type": "registered_model",
            "resource_id": "raygenre",
            "permission": "EDIT",
        },
        auth=ADMIN,
        timeout=60,
    )
    assert response.status_code == 200, response.text
    become(monkeypatch, *GUEST)
    classifier = Classifier(GenreCNN(ModelConfig(genres=2, widths=(2, 2, 2))), ("bells", "storm"))
    decision = promotion.promote_if_better(server, versions[1], classifier, None, data=lambda: tracks, force=True)
    assert decision.promote
    assert "(403)" in decision.note_error
    assert champion.find(server) == (versions[1], None)
    assert client.get_model_version("raygenre", str(versions[1])).tags["promoted"] == "true"
    assert "promoted" not in client.get_run(search).data.tags
    assert champion.rollback(server) == (versions[1], versions[0])
    assert champion.find(server) == (versions[0], None)
