"""What the alert rules of a cluster are made of: metrics that exist, for all that an operator wants to be told of."""

import re
from pathlib import Path

import ray
import yaml

from k8s.check.rendering import COMPONENTS, ROOT
from tests.helpers.metrics import declared, exported

RULES = {
    rule["alert"]: rule
    for group in yaml.safe_load((COMPONENTS / "monitoring" / "alerts.yaml").read_text())["spec"]["groups"]
    for rule in group["rules"]
}
OTHERS = {
    "ray_node_cpu_utilization",  # Ray's own
    "kuberay_job_deployment_status",  # the operator's
    "kubelet_volume_stats_available_bytes",
    "kubelet_volume_stats_capacity_bytes",
    "kube_deployment_status_replicas_available",  # of kube-state-metrics
}


def test_alerts_name_only_metrics_that_exist() -> None:
    ours = {full for name, (kind, _) in declared().items() for full in exported(name, kind)}
    for rule in RULES.values():
        named = set(re.findall(r"\b(?:ray|kube|kuberay|kubelet)_\w+", rule["expr"])) - {"ray_io_cluster"}
        assert named, rule["alert"]
        assert named <= ours | OTHERS, rule["alert"]


def test_the_metric_of_ray_is_one_that_ray_has() -> None:
    panels = Path(ray.__file__).parent / "dashboard/modules/metrics/dashboards/default_dashboard_panels.py"
    [ours] = [name for name in OTHERS if name.startswith("ray_")]
    assert ours in panels.read_text()


def test_whoever_is_on_call_is_told_of_all_that_matters() -> None:
    wanted = {"SearchStuck", "NoChampion", "ErrorRatio", "SlowAnswers", "InputDrift", "DiskFillsUp"}
    assert wanted <= RULES.keys()
    assert all(rule["labels"]["severity"] in ("warning", "critical") for rule in RULES.values())


def test_pages_of_the_runbook_are_of_alerts_that_exist() -> None:
    pages = re.findall(r"^### (\w+)$", (ROOT / "k8s" / "README.md").read_text(), re.MULTILINE)
    assert sorted(pages) == sorted(RULES)
