from pathlib import Path

import pytest

from raygenre.system import hardware


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a fake nvidia-smi that comes before any real one."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "nvidia-smi"


def print_from(driver: Path, text: str, status: int = 0) -> None:
    driver.write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\nexit {status}\n")
    driver.chmod(0o755)


def test_cpu_and_memory_are_described() -> None:
    facts = hardware.describe_hardware()
    assert facts["cpu"] not in ("", "unknown")
    assert int(facts["cores"]) >= 1
    assert int(facts["memory_mb"]) > 500
    assert facts["gpus"]


def test_gpus_are_described_with_their_driver(driver: Path) -> None:
    print_from(driver, "NVIDIA L4, 23034, 550.54\nNVIDIA L4, 23034, 550.54\n")
    card = "NVIDIA L4, 23034 MiB, driver 550.54"
    assert hardware.describe_hardware()["gpus"] == f"{card}; {card}"


@pytest.mark.parametrize(("text", "status"), [("", 9), ("NVIDIA-SMI has failed\n", 0)])
def test_failing_driver_means_no_gpu(driver: Path, text: str, status: int) -> None:
    print_from(driver, text, status)
    assert hardware.describe_hardware()["gpus"] == "none"
    assert not [name for name in hardware.utilization() if "gpu" in name]


def test_utilization_has_the_names_and_units_of_mlflow(driver: Path) -> None:
    print_from(driver, "75, 1000, 4000, [N/A]\n")
    metrics = hardware.utilization()
    assert next(iter(metrics)) == hardware.CPU == "system/cpu_utilization_percentage"
    assert 0 <= metrics[hardware.CPU] <= 100
    assert 0 < metrics["system/system_memory_usage_percentage"] < 100
    assert metrics["system/gpu_0_utilization_percentage"] == 75
    assert metrics["system/gpu_0_memory_usage_megabytes"] == pytest.approx(1048.576)
    assert metrics["system/gpu_0_memory_usage_percentage"] == 25
    assert "system/gpu_0_power_usage_watts" not in metrics
