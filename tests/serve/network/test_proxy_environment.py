import os
from typing import Any

import pytest
import yaml
from ray.serve.schema import EncodingType, ServeDeploySchema

from serve.network import proxy_environment
from tests.helpers.project import ROOT


def test_existing_variables_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    first = next(iter(proxy_environment.DEFAULTS))
    monkeypatch.setattr(os, "environ", {first: "7", "HOME": "/"})
    proxy_environment.set_defaults()
    assert os.environ == {"HOME": "/"} | proxy_environment.DEFAULTS | proxy_environment.MACHINE | {first: "7"}


def configurations() -> list[dict[str, Any]]:
    """Return the configurations that make Ray Serve accessible from other machines."""
    manifests = yaml.safe_load_all((ROOT / "k8s/base/serving.yaml").read_text())
    [service] = [manifest for manifest in manifests if manifest["kind"] == "RayService"]
    return [
        yaml.safe_load((ROOT / "serve/public.yaml").read_text()),
        yaml.safe_load(service["spec"]["serveConfigV2"]),
    ]


@pytest.mark.parametrize("configuration", configurations(), ids=["public", "k8s"])
def test_rays_own_logs_are_json_without_client_addresses(configuration: dict[str, Any]) -> None:
    logging = ServeDeploySchema.model_validate(configuration).logging_config
    assert logging is not None
    assert logging.encoding == EncodingType.JSON
    assert logging.enable_access_log is False
