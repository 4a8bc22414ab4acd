"""An endpoint that other machines can reach does not start without API keys."""

from pathlib import Path

import pytest
from click import ClickException
from ray import serve

from serve.app import app
from serve.network import listen_host
from serve.settings import Settings
from tests.helpers.mlflow_server import free_port
from tests.helpers.serving import new_storage

UNKNOWN = "127.1"  # this machine, in a notation that raygenre does not recognise as loopback


@pytest.mark.slow
def test_an_exposed_replica_without_keys_refuses_to_start(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = new_storage(tmp_path)
    serve.start(http_options={"host": UNKNOWN, "port": free_port()})
    settings = {"storage": str(storage.root), "max_replicas": 1, "replica_cpus": 0}
    try:
        assert listen_host.host() == UNKNOWN
        with pytest.raises(ClickException, match="RAYGENRE_API_KEYS"):
            app(Settings.model_validate(settings))
        # If the host is unknown, as it is before Serve starts, only the replicas can check the keys.
        monkeypatch.setattr("serve.app.listen_host.host", lambda: "")
        with pytest.raises(RuntimeError, match="exposed failed"):
            serve.run(app(Settings.model_validate(settings)), name="exposed")
        [deployment] = serve.status().applications["exposed"].deployments.values()
        assert "RAYGENRE_API_KEYS" in deployment.message
        serve.run(app(Settings.model_validate(settings | {"insecure": True})), name="exposed")
    finally:
        serve.shutdown()
