from pathlib import Path

import pytest

from raygenre.system import hardware


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a command stands that is found before any real driver's."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "nvidia-smi"


def answering(driver: Path, text: str, status: int = 0) -> None:
    driver.write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\nexit {status}\n")
    driver.chmod(0o755)


def test_the_hardware_is_named() -> None:
    found = hardware.describe_hardware()
    assert found["cpu"] not in ("", "unknown")
    assert int(found["cores"]) >= 1
    assert int(found["memory_mb"]) > 500
    assert found["gpus"]


def test_gpus_are_named_with_their_driver(driver: Path) -> None:
    answering(driver, "NVIDIA L4, 23034, 550.54\nNVIDIA L4, 23034, 550.54\n")
    assert (
        hardware.describe_hardware()["gpus"]
        == "NVIDIA L4, 23034 MiB, driver 550.54; NVIDIA L4, 23034 MiB, driver 550.54"
    )


@pytest.mark.parametrize(("text", "status"), [("", 9), ("NVIDIA-SMI has failed\n", 0)])
def test_a_driver_that_does_not_answer_is_no_gpu(driver: Path, text: str, status: int) -> None:
    answering(driver, text, status)
    assert hardware.describe_hardware()["gpus"] == "none"
    assert not [name for name in hardware.utilization() if "gpu" in name]


def test_the_load_is_in_percent_and_named_as_mlflow_does(driver: Path) -> None:
    answering(driver, "75, 1000, 4000, [N/A]\n")
    found = hardware.utilization()
    assert next(iter(found)) == hardware.CPU == "system/cpu_utilization_percentage"
    assert 0 <= found[hardware.CPU] <= 100
    assert 0 < found["system/system_memory_usage_percentage"] < 100
    assert found["system/gpu_0_utilization_percentage"] == 75
    assert found["system/gpu_0_memory_usage_megabytes"] == pytest.approx(1048.576)
    assert found["system/gpu_0_memory_usage_percentage"] == 25
    assert "system/gpu_0_power_usage_watts" not in found
