"""Whether the alert rules hold those of serve/monitoring, and whether the runbook has a page for each."""

import re
from collections.abc import Iterator

import yaml

from k8s.check.rendering import ROOT, Resource, name

ENDPOINT = ROOT / "serve" / "monitoring" / "alerts.yml"
RUNBOOK = ROOT / "k8s" / "README.md"


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield alerts that differ, are missing, or that nobody is told what to do about."""
    for resource in (one for one in resources if one["kind"] == "PrometheusRule"):
        rules = {rule["alert"]: rule for group in resource["spec"]["groups"] for rule in group["rules"]}
        for rule in (one for group in yaml.safe_load(ENDPOINT.read_text())["groups"] for one in group["rules"]):
            here = rules.get(rule["alert"], {})
            for field in ("expr", "for", "annotations"):
                if here.get(field) != rule.get(field):
                    yield f"{name(resource)}: {field} of {rule['alert']} is not that of serve/monitoring/alerts.yml"
        pages = set(re.findall(r"^### (\w+)$", RUNBOOK.read_text(), re.MULTILINE))
        for alert in sorted(rules.keys() - pages):
            yield f"{name(resource)}: {RUNBOOK.name} has no page for {alert}"
