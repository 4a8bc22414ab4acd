"""Which version an endpoint serves, and what it says of one that it cannot."""

from pathlib import Path

import httpx

from raygenre.system.storage import Storage


def artifact(storage: Storage, name: str) -> Path:
    """The file of the version that was registered last."""
    return max((storage.root / "artifacts").rglob(name), key=lambda path: path.stat().st_mtime_ns)


def serving(client: httpx.Client) -> str:
    return str(client.get("/readyz").json()["model"]["version"])


def trouble(client: httpx.Client) -> str:
    response = client.get("/readyz")
    assert response.status_code == 200
    return str(response.json()["trouble"].get("model", ""))
