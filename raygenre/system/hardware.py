"""The machine that this process runs on: what it is, and how busy it is.

Loads have the names and units of MLflow's own system metrics, so that it shows them as such: % and MB. NVIDIA's GPUs
are asked for by the command of their driver, which is there wherever they are.
"""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import psutil

SYSTEM = "system/"
CPU = f"{SYSTEM}cpu_utilization_percentage"

_PATIENCE = 5.0  # s that the GPUs' driver has to answer
_MIB = 2**20 / 1e6  # MB


def hardware() -> dict[str, str | int]:
    """Return the processor, its cores, the memory in MB, the system, and the GPUs with the version of their driver."""
    found: dict[str, str | int] = {
        "cpu": _processor(),
        "cores": os.cpu_count() or 1,
        "memory_mb": round(psutil.virtual_memory().total / 1e6),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    gpus = _ask_gpus("name", "memory.total", "driver_version")
    names = [f"{name}, {memory} MiB, driver {driver}" for name, memory, driver in gpus]
    return found | {"gpus": "; ".join(names) or "none"}


def load() -> dict[str, float]:
    """Return how busy processors and GPUs are, in % since this was asked last, and how much memory is in use."""
    memory = psutil.virtual_memory()
    found = {
        CPU: psutil.cpu_percent(),
        f"{SYSTEM}system_memory_usage_megabytes": memory.used / 1e6,
        f"{SYSTEM}system_memory_usage_percentage": 100 * memory.used / memory.total,
    }
    gpus = _ask_gpus("utilization.gpu", "memory.used", "memory.total", "power.draw")
    for number, answers in enumerate(gpus):
        busy, used, total, power = (_number(answer) for answer in answers)
        values = {
            "utilization_percentage": busy,
            "memory_usage_megabytes": used and used * _MIB,
            "memory_usage_percentage": 100 * used / total if used is not None and total else None,
            "power_usage_watts": power,
        }
        found |= {f"{SYSTEM}gpu_{number}_{name}": value for name, value in values.items() if value is not None}
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown"


def _ask_gpus(*fields: str) -> list[list[str]]:
    """The fields of each GPU; none where there is no driver, or where it does not answer."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    question = [command, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(question, capture_output=True, text=True, timeout=_PATIENCE, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[part.strip() for part in line.split(",")] for line in answer.splitlines() if line]
    return [row for row in rows if len(row) == len(fields)]


def _number(answer: str) -> float | None:
    """A number, or nothing where the driver has `[N/A]`, as for the power of some cards."""
    try:
        return float(answer)
    except ValueError:
        return None
