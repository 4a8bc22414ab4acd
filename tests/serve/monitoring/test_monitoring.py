"""Metrics and logs exported by Ray, and the dashboard and alerts that use them."""

import json
import os
import re
import signal
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import ray
import yaml

from raygenre import __file__ as package
from raygenre.model.input_drift import MIN_SONGS
from serve.inference.live_models import DRIFT_EVERY
from tests.helpers.decoders import stopped_decoders
from tests.helpers.hostile import chunk
from tests.helpers.metrics import declared, exported, scrape, value
from tests.helpers.processes import until

SERVE = Path(package).parent.parent / "serve"
MONITORING = SERVE / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
ALERTS: dict[str, Any] = yaml.safe_load((MONITORING / "alerts.yml").read_text())
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]] + [
    rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]
]
CLUSTER: dict[str, Any] = yaml.safe_load((SERVE.parent / "k8s/components/monitoring/alerts.yaml").read_text())
CLUSTER_EXPRESSIONS = [rule["expr"] for group in CLUSTER["spec"]["groups"] for rule in group["rules"]]
NEEDS_A_CHANGE = {
    "ray_raygenre_model_changes_total",
    "ray_raygenre_challenger_answers_total",
    "ray_raygenre_tagged_total",  # needs the pretrained network instead
    "ray_raygenre_jobs_total",  # needs a job instead
}


def test_dashboard_and_alerts_use_only_existing_metrics_and_tags() -> None:
    existing = {full: tags for name, (kind, tags) in declared().items() for full in exported(name, kind)}
    assert len(existing) > 15
    used_metrics = set()
    for expression in EXPRESSIONS:
        names = set(re.findall(r"\bray_\w+", expression))
        assert names <= existing.keys(), expression
        used_metrics |= names
        tags = {"le", "replica", "application", "deployment"}.union(*(existing[name] for name in names))
        used = [tag for group in re.findall(r"by \(([\w, ]+)\)", expression) for tag in group.split(", ")]
        used += re.findall(r"(\w+)=~?\"", expression)
        assert set(used) <= tags, expression
    unused = {name for name, (kind, _) in declared().items() if not exported(name, kind) & used_metrics}
    assert not unused, "no panel shows these"


def test_the_dashboard_is_consistent() -> None:
    assert DASHBOARD["schemaVersion"] >= 36
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]}
    assert len(places) == len(DASHBOARD["panels"])


def filled(expression: str) -> str:
    """Return an expression as Grafana sends it to Prometheus, with its variables replaced."""
    for variable in DASHBOARD["templating"]["list"]:
        expression = re.sub(rf"\$(?:{variable['name']}\b|{{{variable['name']}(?::\w+)?}})", "any", expression)
    return re.sub(r"\$(?:__(?:rate_interval|interval|range)\b|{__(?:rate_interval|interval|range)})", "5m", expression)


@pytest.mark.parametrize("expression", [*EXPRESSIONS, *CLUSTER_EXPRESSIONS])
def test_every_expression_is_valid_promql(expression: str) -> None:
    promql_parser.parse(filled(expression))


@pytest.mark.parametrize(
    "expression",
    [
        "sum(rate(ray_x[$__rate_interval])",
        "rate(ray_x)",
        "sum by (le) (summ(ray_x))",
        "histogram_quantile(ray_x)",
        "ray_x[$__anything]",
    ],
)
def test_invalid_promql_is_detected(expression: str) -> None:
    with pytest.raises(ValueError, match=r"unclosed|unknown|unexpected|expected"):
        promql_parser.parse(filled(expression))


def test_prometheus_reads_rays_list_of_nodes() -> None:
    configuration = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    [job] = configuration["scrape_configs"]
    assert job["file_sd_configs"][0]["files"] == ["/tmp/ray/prom_metrics_service_discovery.json"]
    assert configuration["rule_files"] == ["alerts.yml"]


def scrape_after_earlier_requests(endpoint: httpx.Client) -> str:
    """Return metrics that include all earlier requests; Ray exports a replica's counts together, with a delay."""

    def refused_methods() -> float:
        return value(scrape(), "ray_raygenre_requests_total", status="405")

    before = refused_methods()
    assert endpoint.delete("/healthz").status_code == 405
    until(lambda: refused_methods() > before)
    return scrape()


def test_requests_predictions_and_crashes_are_counted(endpoint: httpx.Client, picture: bytes, song: bytes) -> None:
    before = scrape_after_earlier_requests(endpoint)
    for _ in range(max(MIN_SONGS, DRIFT_EVERY) + DRIFT_EVERY):
        assert endpoint.post("/v1/predict", content=picture).status_code == 200
    assert endpoint.post("/v1/predict", content=song).status_code == 200
    with ThreadPoolExecutor(1) as pool, stopped_decoders() as decoders:
        crashed = pool.submit(endpoint.post, "/v1/predict", content=song)
        time.sleep(0.5)
        for pid in decoders:
            os.kill(pid, signal.SIGSEGV)
            os.kill(pid, signal.SIGCONT)
        assert "SIGSEGV" in crashed.result().json()["detail"]
    assert endpoint.post("/v1/predict", content=b"text").status_code == 415
    form = [("file", ("a.png", picture)), ("file", ("b", b"text"))]
    assert endpoint.post("/v1/predict", files=form).status_code == 200
    assert endpoint.get("/nothing/at/all").status_code == 404
    expected = {full for name, (kind, _) in declared().items() for full in exported(name, kind)} - NEEDS_A_CHANGE
    deadline = time.monotonic() + 60
    # Ray exports a gauge once after it is set, and gauges are not all set at the same time.
    seen: dict[str, str] = {}  # name → the latest scrape that contains it
    while True:
        text = scrape()
        seen |= {name: text for name in expected if f"\n{name}{{" in text}
        missing = expected - seen.keys()
        requests, files = (
            value(text, name, status="415", **tags) - value(before, name, status="415", **tags)
            for name, tags in (
                ("ray_raygenre_requests_total", {"path": "/v1/predict"}),
                ("ray_raygenre_refused_files_total", {}),
            )
        )
        if not missing and (requests, files) == (1, 2):  # the form got a 200 response
            break
        assert time.monotonic() < deadline, (missing, requests, files)
        time.sleep(1)
    for name, tags in (
        ("requests_total", {"path": "other", "status": "404"}),
        ("predictions_total", {"genre": "bells", "uncertain": "false", "model": "raygenre/1"}),
        *(("stage_seconds_count", {"stage": stage}) for stage in ("wait", "decode", "levels", "queue", "forward")),
        ("input_drift", {"range": "00"}),
    ):
        full = f"ray_raygenre_{name}"
        assert value(seen.get(full, text), full, **tags) > 0, (name, tags)
    # All songs are the same PNG, which differs from the training tracks.
    assert value(seen["ray_raygenre_input_drift"], "ray_raygenre_input_drift", range="05") > 0.25


def test_requests_are_logged_as_json_without_client_data(
    endpoint: httpx.Client, picture: bytes, song: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """Search all of Ray's files for a unique word from the client's files, file names and headers."""
    mark = f"private{uuid.uuid4().hex}"
    marked = picture[:33] + chunk(b"tEXt", b"Comment\0" + mark.encode()) + picture[33:]
    requests: list[tuple[int, dict[str, Any]]] = [
        (200, {"files": {"file": (f"{mark}.png", marked)}}),
        (415, {"content": mark.encode() * 20}),
        (422, {"content": song[:3000] + mark.encode() * 20 + bytes(3000), "params": {"window": mark}}),
        (422, {"files": {"file": (mark, b"ID3" + mark.encode() * 20)}}),
        (422, {"files": {mark: (mark, marked)}}),
        (422, {"content": b"RIFF" + bytes(4) + b"WAVE" + mark.encode() * 20}),
        (200, {"content": marked, "params": {mark: mark}, "headers": {"x-api-key": mark, "authorization": mark}}),
    ]
    for number, (status, request) in enumerate(requests):
        path = "/v1/spectrogram" if "window" in request.get("params", {}) else "/v1/predict"
        headers = {"x-request-id": f"{mark[7:]}-{number}"} | request.pop("headers", {})
        assert endpoint.post(path, headers=headers, **request).status_code == status, number

    folder = Path(ray._private.worker._global_node.get_session_dir_path())  # type: ignore[attr-defined]

    def logged(word: str) -> list[str]:
        files = [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
        assert len(files) > 10, "some log files are missing"
        text = "\n".join(file.read_text(errors="replace") for file in files)
        return [line for line in text.splitlines() if word in line]

    until(lambda: len(logged(f'"request_id": "{mark[7:]}-')) == len(requests), seconds=30)
    lines = [json.loads(line) for line in logged(f'"request_id": "{mark[7:]}-')]
    first, second = sorted(lines, key=lambda line: str(line["request_id"]))[:2]
    assert first["event"] == "request"
    assert (first["method"], first["path"], first["status"]) == ("POST", "/v1/predict", 200)
    assert (first["files"], first["model"], first["genres"]) == (1, "1", ["bells"])
    assert first["bytes"] > len(picture)
    assert (second["status"], second["level"]) == (415, "info")
    assert logged(mark) == []
    printed = capfd.readouterr()
    assert mark not in printed.out + printed.err


@pytest.mark.parametrize("name", ["serve/public.yaml"])
def test_ray_serve_accepts_the_public_configuration(name: str) -> None:
    from ray.serve.schema import ServeDeploySchema

    config = ServeDeploySchema.model_validate(yaml.safe_load((SERVE.parent / name).read_text()))
    assert config.http_options.host == "0.0.0.0"
    assert config.applications[0].import_path == "serve.app:app"
