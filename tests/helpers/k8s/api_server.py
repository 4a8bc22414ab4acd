"""A fake API server that is sufficient for kubectl's dry runs.

The server records the requests and supports only the given kinds. It rejects the objects named in `refused` with 422,
as if they were invalid. It rejects the objects named in `owned` with 409, as if an operator owned some of their fields.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

MISSING = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
CLUSTER_WIDE = {"Namespace", "PersistentVolume", "PriorityClass"}


@dataclass
class ApiServer:
    """The objects on the server, and the requests that it has received.

    Applied objects are not stored. The objects given at the start can be read, patched, replaced and deleted.

    Attributes:
        kinds: the supported kinds, as pairs of apiVersion and kind.
        refused: names of the objects that the server rejects.
        namespaces: the answers to successive requests for namespaces; the last one is repeated.
        applied: path, query and object of each apply request.
        objects: the server's objects, by path.
        changed: method and path of each request that changes an object.
        warned: warnings about accepted objects, by object name.
        owned: fields that the operator owns, by object name; only a forced apply may change them.
    """

    kinds: set[tuple[str, str]]
    refused: frozenset[str]
    namespaces: list[list[str]]
    applied: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    changed: list[tuple[str, str]] = field(default_factory=list)
    warned: dict[str, str] = field(default_factory=dict)
    owned: dict[str, str] = field(default_factory=dict)

    def watch(self, path: str) -> list[dict[str, Any]]:
        """Return the events that a watch of this path receives before it ends."""
        return []

    def delete(self, path: str) -> int:
        """Delete an object, and return the HTTP status."""
        return 404 if self.objects.pop(path, None) is None else 200

    def read(self, path: str) -> dict[str, Any] | None:
        """Return the response to a GET request for a path, or None if the status is 404."""
        versions = sorted({version for version, _ in self.kinds | {("v1", "Namespace")}})
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            return {"kind": "APIGroupList", "groups": [_group(one) for one in versions if one != "v1"]}
        if path == "/openapi/v3":
            return {"paths": {_root(one)[1:]: {"serverRelativeURL": f"/openapi/v3{_root(one)}"} for one in versions}}
        for version in versions:
            kinds = sorted(kind for one, kind in self.kinds if one == version)
            if path == _root(version):
                return {"kind": "APIResourceList", "groupVersion": version, "resources": [_resource(k) for k in kinds]}
            if path == f"/openapi/v3{_root(version)}":
                return {"openapi": "3.0.0", "paths": {f"/{k}": {"patch": _operation(version, k)} for k in kinds}}
        if path == "/api/v1/namespaces":
            names = self.namespaces.pop(0) if len(self.namespaces) > 1 else self.namespaces[0]
            items = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names]
            return {"apiVersion": "v1", "kind": "NamespaceList", "metadata": {}, "items": items}
        if path in self.objects:
            return self.objects[path]
        folder, _, plural = path.rpartition("/")
        for version, kind in self.kinds:
            if plural == _resource(kind)["name"] and folder.startswith(_root(version)):
                items = [one for at, one in self.objects.items() if at.rpartition("/")[0] == path]
                return {
                    "apiVersion": version,
                    "kind": f"{kind}List",
                    "metadata": {"resourceVersion": "1"},
                    "items": items,
                }
        return None


@contextmanager
def running(folder: Path, server: ApiServer) -> Iterator[Path]:
    """Run the server on a free port and yield a KUBECONFIG for it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if "watch" in parse_qs(url.query):
                self.answer(200, *server.watch(url.path))
                return
            found = server.read(url.path)
            self.answer(404 if found is None else 200, found or MISSING)

        def do_PUT(self) -> None:
            path, given = self.change()
            server.objects[path] = given
            self.answer(200, given)

        def do_DELETE(self) -> None:
            status = server.delete(self.change()[0])
            told = {"status": "Success" if status == 200 else "Failure", "code": status}
            self.answer(status, {"kind": "Status", "apiVersion": "v1", **told})

        def change(self) -> tuple[str, Any]:
            """Record a change to an object, and return its path and the request body."""
            path = urlsplit(self.path).path
            server.changed.append((self.command, path))
            return path, yaml.safe_load(self.rfile.read(int(self.headers["Content-Length"] or 0)))

        def do_PATCH(self) -> None:
            if "merge-patch" in self.headers["Content-Type"]:
                path, given = self.change()
                server.objects[path] = merged(server.objects[path], given)
                self.answer(200, server.objects[path])
                return
            url = urlsplit(self.path)
            given = yaml.safe_load(self.rfile.read(int(self.headers["Content-Length"])))
            query = {key: one[0] for key, one in parse_qs(url.query).items()}
            server.applied.append((url.path, query, given))
            if given["metadata"]["name"] in server.owned and query.get("force") != "true":
                self.answer(409, _conflict(given["apiVersion"], server.owned[given["metadata"]["name"]]))
            elif given["metadata"]["name"] in server.refused:
                told = {"message": f"{given['kind']} is invalid: no such thing", "reason": "Invalid", "code": 422}
                self.answer(422, {"kind": "Status", "apiVersion": "v1", "status": "Failure", **told})
            else:
                self.answer(200, given, warning=server.warned.get(given["metadata"]["name"], ""))

        def answer(self, status: int, *bodies: dict[str, Any], warning: str = "") -> None:
            text = "\n".join(json.dumps(body) for body in bodies).encode()
            self.send_response(status)
            if warning:
                self.send_header("Warning", f"299 - {json.dumps(warning)}")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))  # s between checks for shutdown
        thread.start()
        try:
            yield config(folder, listening.server_port)
        finally:
            listening.shutdown()
            thread.join()


def merged(value: Any, patch: Any) -> Any:
    """Return the result of applying a JSON merge patch to a value."""
    if not isinstance(patch, dict):
        return patch
    old = value if isinstance(value, dict) else {}
    return {
        key: merged(old.get(key), patch.get(key, old.get(key))) for key in old | patch if patch.get(key, 0) is not None
    }


def config(folder: Path, port: int) -> Path:
    """Write a KUBECONFIG for a server on a local port, and return its path."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": ""}}],
        "current-context": "here",
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(content))
    return path


def _conflict(version: str, field: str) -> dict[str, Any]:
    owner = f'conflict with "kuberay-operator" using {version}'
    cause = {"reason": "FieldManagerConflict", "message": owner, "field": field}
    told = {"message": f"Apply failed with 1 conflict: {owner}: {field}", "reason": "Conflict", "code": 409}
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", **told, "details": {"causes": [cause]}}


def _root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _group(version: str) -> dict[str, Any]:
    group, _, number = version.partition("/")
    one = {"groupVersion": version, "version": number}
    return {"name": group, "versions": [one], "preferredVersion": one}


def _resource(kind: str) -> dict[str, Any]:
    plural = re.sub(r"y$", "ie", kind.lower()) + ("es" if kind.endswith("s") else "s")
    verbs = ["get", "list", "watch", "patch", "create", "update", "delete"]
    return {"name": plural, "kind": kind, "namespaced": kind not in CLUSTER_WIDE, "verbs": verbs}


def _operation(version: str, kind: str) -> dict[str, Any]:
    group, _, number = version.rpartition("/")
    meant = {"group": group, "version": number, "kind": kind}
    return {"x-kubernetes-group-version-kind": meant, "parameters": [{"name": "fieldValidation", "in": "query"}]}
