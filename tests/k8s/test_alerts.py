"""A cluster's alert rules use only existing metrics and cover all important faults."""

import re
from pathlib import Path

import ray
import yaml

from k8s.check.alerts import RUNBOOK
from k8s.check.rendering import COMPONENTS
from tests.helpers.metrics import declared, exported

RULES = {
    rule["alert"]: rule
    for group in yaml.safe_load((COMPONENTS / "monitoring" / "alerts.yaml").read_text())["spec"]["groups"]
    for rule in group["rules"]
}
OTHERS = {
    "ray_node_cpu_utilization",  # Ray
    "kuberay_job_deployment_status",  # the operator
    "kuberay_cluster_condition_provisioned",
    "kubelet_volume_stats_available_bytes",
    "kubelet_volume_stats_capacity_bytes",
    "kube_deployment_status_replicas_available",  # kube-state-metrics
}


def test_alerts_name_only_metrics_that_exist() -> None:
    ours = {full for name, (kind, _) in declared().items() for full in exported(name, kind)}
    for rule in RULES.values():
        named = set(re.findall(r"\b(?:ray|kube|kuberay|kubelet)_\w+", rule["expr"])) - {"ray_io_cluster"}
        assert named, rule["alert"]
        assert named <= ours | OTHERS, rule["alert"]


def test_the_ray_metric_exists_in_ray() -> None:
    panels = Path(ray.__file__).parent / "dashboard/modules/metrics/dashboards/default_dashboard_panels.py"
    [ours] = [name for name in OTHERS if name.startswith("ray_")]
    assert ours in panels.read_text()


def test_alerts_cover_all_that_matters() -> None:
    wanted = {"SearchStuck", "NoChampion", "ErrorRatio", "SlowAnswers", "InputDrift", "DiskFillsUp", "PodsMissing"}
    assert wanted <= RULES.keys()
    assert all(rule["labels"]["severity"] in ("warning", "critical") for rule in RULES.values())


def test_runbook_sections_are_for_existing_alerts() -> None:
    pages = re.findall(r"^### (\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert sorted(pages) == sorted(RULES)
