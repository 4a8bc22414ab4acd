"""Read which model version an endpoint serves, and why it rejected another version."""

from pathlib import Path

import httpx

from raygenre.system.storage import Storage


def artifact(storage: Storage, name: str) -> Path:
    """Return the path of a file from the latest registered version."""
    return max((storage.root / "artifacts").rglob(name), key=lambda path: path.stat().st_mtime_ns)


def serving(client: httpx.Client) -> str:
    return str(client.get("/readyz").json()["model"]["version"])


def load_error(client: httpx.Client) -> str:
    response = client.get("/readyz")
    assert response.status_code == 200
    return str(response.json()["trouble"].get("model", ""))
