"""Checks that alert rules match serve/monitoring and that the runbook covers each alert."""

import re
from collections.abc import Iterator

import yaml

from k8s.check.rendering import ROOT, Resource, name

ENDPOINT = ROOT / "serve" / "monitoring" / "alerts.yml"
RUNBOOK = ROOT / "docs" / "kubernetes" / "runbook.md"


def problems(resources: list[Resource]) -> Iterator[str]:
    """Yield alerts that are missing, differ from those in serve/monitoring, or have no section in the runbook."""
    for resource in (one for one in resources if one["kind"] == "PrometheusRule"):
        rules = {rule["alert"]: rule for group in resource["spec"]["groups"] for rule in group["rules"]}
        for rule in (one for group in yaml.safe_load(ENDPOINT.read_text())["groups"] for one in group["rules"]):
            here = rules.get(rule["alert"], {})
            for field in ("expr", "for", "annotations"):
                if here.get(field) != rule.get(field):
                    yield f"{name(resource)}: {field} of {rule['alert']} differs from serve/monitoring/alerts.yml"
        pages = set(re.findall(r"^### (\w+)$", RUNBOOK.read_text(), re.MULTILINE))
        for alert in sorted(rules.keys() - pages):
            yield f"{name(resource)}: {RUNBOOK.name} has no section for {alert}"
