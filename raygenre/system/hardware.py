"""The machine that this process runs on: its hardware and its current utilisation.

The utilisation metrics use the names and units (%, MB, W) of MLflow's own system metrics, so MLflow displays them as
system metrics. NVIDIA GPUs are queried through `nvidia-smi`, which is part of the driver.
"""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import psutil

SYSTEM = "system/"
CPU = f"{SYSTEM}cpu_utilization_percentage"

_GPU_TIMEOUT = 5.0  # s
_MIB = 2**20 / 1e6  # MB


def describe_hardware() -> dict[str, str | int]:
    """Return the CPU model, cores, memory in MB, operating system, Python version, and GPUs with their driver."""
    facts: dict[str, str | int] = {
        "cpu": processor_name(),
        "cores": os.cpu_count() or 1,
        "memory_mb": round(psutil.virtual_memory().total / 1e6),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    gpus = query_gpus("name", "memory.total", "driver_version")
    names = [f"{name}, {memory} MiB, driver {driver}" for name, memory, driver in gpus]
    return facts | {"gpus": "; ".join(names) or "none"}


def processor_name() -> str:
    """Return the CPU's model name; if /proc/cpuinfo does not contain it, the machine type, such as `arm64`."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine() or "unknown"


def processor_flags() -> frozenset[str]:
    """Return the processor's features as named in /proc/cpuinfo; empty if that file does not exist."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    flags = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return frozenset(next(flags, "").split())


def utilization() -> dict[str, float]:
    """Return the current CPU, memory and GPU utilisation. CPU utilisation is the mean since the previous call."""
    memory = psutil.virtual_memory()
    metrics = {
        CPU: psutil.cpu_percent(),
        f"{SYSTEM}system_memory_usage_megabytes": memory.used / 1e6,
        f"{SYSTEM}system_memory_usage_percentage": 100 * memory.used / memory.total,
    }
    gpus = query_gpus("utilization.gpu", "memory.used", "memory.total", "power.draw")
    for number, row in enumerate(gpus):
        busy, used, total, power = (_number(cell) for cell in row)
        values = {
            "utilization_percentage": busy,
            "memory_usage_megabytes": used and used * _MIB,
            "memory_usage_percentage": 100 * used / total if used is not None and total else None,
            "power_usage_watts": power,
        }
        metrics |= {f"{SYSTEM}gpu_{number}_{name}": value for name, value in values.items() if value is not None}
    return metrics


def query_gpus(*fields: str) -> list[list[str]]:
    """Return the requested fields for each GPU; an empty list if no driver is installed or it does not respond."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        output = subprocess.run(query, capture_output=True, text=True, timeout=_GPU_TIMEOUT, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[part.strip() for part in line.split(",")] for line in output.splitlines() if line]
    return [row for row in rows if len(row) == len(fields)]


def _number(cell: str) -> float | None:
    """Return a cell as a number; None for `[N/A]`, which some cards report instead of their power draw."""
    try:
        return float(cell)
    except ValueError:
        return None
