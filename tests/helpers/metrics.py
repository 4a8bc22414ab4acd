"""Reads the endpoint's metrics: those declared in its source, and those exported to Prometheus."""

import re

import httpx
import ray

from tests.helpers.project import ROOT


def declared() -> dict[str, tuple[str, set[str]]]:
    """Return each metric's kind and tags by name, as declared in the source."""
    source = (ROOT / "serve" / "monitoring" / "metrics.py").read_text()
    calls = re.findall(r'= (Counter|Gauge|Histogram)\(\s*"(\w+)"(.*?)\)\n', source, re.DOTALL)
    return {name: (kind, set(re.findall(r'"(\w+)"', rest.split("_tags")[-1]))) for kind, name, rest in calls}


def exported(name: str, kind: str) -> set[str]:
    return {
        "Counter": {f"ray_{name}_total"},
        "Gauge": {f"ray_{name}"},
        "Histogram": {f"ray_{name}_{end}" for end in ("bucket", "sum", "count")},
    }[kind]


def scrape() -> str:
    """Return the metrics of all nodes in the cluster in the format that Prometheus scrapes."""
    ports = [node["MetricsExportPort"] for node in ray.nodes() if node["Alive"]]
    return "".join(httpx.get(f"http://127.0.0.1:{port}/metrics").text for port in ports)


def value(text: str, name: str, **tags: str) -> float:
    """Return the sum of a metric's samples that have these tags."""
    lines = [line for line in text.splitlines() if line.startswith(f"{name}{{")]
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if all(f'{tag}="{wanted}"' in line for tag, wanted in tags.items())
    )
