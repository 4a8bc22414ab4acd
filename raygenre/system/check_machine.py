"""Checks of the machine: processor, GPU, memory, disk space, Ray's folder and ports."""

import errno
import os
import shutil
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from raygenre.errors import RaygenreError
from raygenre.system import hardware
from raygenre.system.finding import Finding
from raygenre.system.ports import PortError, check_port
from raygenre.system.printable import printable
from raygenre.system.ray_folder import planned_ray_folder

HOST = "127.0.0.1"
TRIAL_MEMORY = 3e9  # bytes that a search's trial needs, according to docs/operations.md
MIN_MEMORY = 1e9  # bytes; loading the libraries and a model needs about this much
FEW_BYTES, MIN_BYTES = 5e9, 1e9  # free disk space below which a warning or a problem is reported

_GB = 1e9
_AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}  # the instruction sets that torch's kernels need
_FULL = 0.95  # Ray creates no objects on a disk that is fuller than this share of its capacity
_NO_SHM_LIMIT = 10e9  # bytes; Ray limits its object store to the size of /dev/shm, but never to less than this
_OBJECT_STORE = 0.3  # share of the available memory that Ray reserves for its object store
_SHM = Path("/dev/shm")
_CGROUPS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Files with a container's memory limit and usage in bytes, in versions 2 and 1 of control groups."""


def check_processor(flags: frozenset[str] | None = None) -> Finding:
    """Check the number of cores, and the instruction sets on which the speed of training depends.

    Args:
        flags: the processor's features as listed in /proc/cpuinfo; by default, those of this machine.
    """
    flags = hardware.processor_flags() if flags is None else flags
    cores, all_cores = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    number = f"{cores} cores" if cores == all_cores else f"{cores} of {all_cores} cores"
    restricted = os.environ.get("ATEN_CPU_CAPABILITY", "")
    has_avx512 = flags >= _AVX512 and restricted in ("", "avx512")
    has_bfloat16 = (has_avx512 and bool(flags & {"avx512_bf16", "amx_bf16"})) or "bf16" in flags
    names = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX", "bf16": "BF16"}
    features = [name for flag, name in names.items() if flag in flags]
    facts = {"name": hardware.processor_name(), "cores": cores, "features": features, "bfloat16": has_bfloat16}
    found = f"{hardware.processor_name()}, {number}, {', '.join(features) or 'no known vector extensions'}"
    if restricted not in ("", "avx512") and flags >= _AVX512:
        meaning = f"{found}; torch is restricted to {restricted} by ATEN_CPU_CAPABILITY, which is slower"
        return Finding("processor", "warning", meaning, "unset ATEN_CPU_CAPABILITY", facts)
    if has_bfloat16:
        return Finding("processor", "ok", f"{found}: trains in bfloat16, about twice as fast as in float32", "", facts)
    if "avx2" in flags or "asimd" in flags:
        meaning = "trains in float32, at about half the speed of processors with fast bfloat16"
        return Finding("processor", "ok", f"{found}: {meaning}", "", facts)
    remedy = "use another machine; if this is a virtual machine, pass the host's processor features to it"
    return Finding("processor", "warning", f"{found}: without AVX2, torch is several times slower", remedy, facts)


def check_gpu() -> Finding:
    """Check whether a GPU is present, and whether its driver responds."""
    rows = hardware.query_gpus("name", "memory.total", "driver_version", "compute_cap")
    if not rows and any(Path("/dev").glob("nvidia[0-9]*")):
        remedy = "run `nvidia-smi` to find the reason; until it is fixed, the CPU is used"
        return Finding("GPU", "warning", "an NVIDIA GPU is present, but nvidia-smi does not respond", remedy)
    if not rows:
        return Finding("GPU", "ok", "none: training and prediction use the CPU")
    found = "; ".join(
        f"{name}, {memory} MiB, driver {driver}, trains in {'bfloat16' if _has_bfloat16(compute) else 'float32'}"
        for name, memory, driver, compute in rows
    )
    facts = {"gpus": [dict(zip(("name", "memory_mib", "driver", "compute"), row, strict=True)) for row in rows]}
    if _torch_without_cuda():
        remedy = "install a build of torch with CUDA"
        return Finding("GPU", "warning", f"{found}; the installed torch supports only CPUs", remedy, facts)
    return Finding("GPU", "ok", found, "", facts)


def check_memory(cgroups: Path = Path("/sys/fs/cgroup")) -> Finding:
    """Check the shared memory, and the memory that is available within the container's limit, if any.

    Args:
        cgroups: the folder with the container's limits.
    """
    memory = psutil.virtual_memory()
    total, available, limited = memory.total, memory.available, ""
    if (limits := _container_memory(cgroups)) and limits[0] < total:
        total, available, limited = limits[0], min(available, limits[0] - limits[1]), ", the container's limit"
    found = f"{available / _GB:.1f} of {total / _GB:.1f} GB available{limited}"
    shared = shutil.disk_usage(_SHM).free if _SHM.is_dir() else 0
    facts = {"total": total, "available": available, "shared": shared}
    if available < MIN_MEMORY:
        return Finding("memory", "problem", found, "close other programs, or use a machine with more memory", facts)
    if available < TRIAL_MEMORY:
        meaning = f"{found}; one trial of a search may need {TRIAL_MEMORY / _GB:.0f} GB"
        return Finding("memory", "warning", meaning, "close other programs, or search with --max-concurrent 1", facts)
    if shared < (wanted := min(_OBJECT_STORE * available, max(_NO_SHM_LIMIT, shared))):
        meaning = f"{found}; {_SHM} has only {shared / _GB:.1f} GB, so Ray keeps its objects on disk, which is slower"
        remedy = f"enlarge it, in Docker with --shm-size={wanted / _GB:.1f}gb"
        return Finding("memory", "warning", meaning, remedy, facts)
    return Finding("memory", "ok", found, "", facts)


def check_disk(folder: Path) -> Finding:
    """Check the free space on the disk that contains a folder, or on which the folder would be created."""
    try:
        usage = shutil.disk_usage(existing_parent(folder))
    except OSError as error:
        return Finding("disk", "problem", f"the disk of {printable(folder)} cannot be read: {error.strerror}")
    found = f"{usage.free / _GB:.0f} of {usage.total / _GB:.0f} GB free at {printable(folder)}"
    facts = {"total": usage.total, "free": usage.free}
    if usage.free < FEW_BYTES:
        remedy = "free some space, or choose a folder on another disk with --storage or RAYGENRE_STORAGE"
        return Finding("disk", "problem" if usage.free < MIN_BYTES else "warning", found, remedy, facts)
    return Finding("disk", "ok", found, "", facts)


def check_ray_folder() -> Finding:
    """Check that Ray has a suitable folder for its files, and that the folder's disk has enough space."""
    try:
        folder = planned_ray_folder()
        usage = shutil.disk_usage(existing_parent(folder))
    except RaygenreError as error:
        found, _, remedy = str(error).rpartition("; ")
        return Finding("Ray's folder", "problem", found, remedy)
    except OSError as error:
        return Finding("Ray's folder", "problem", f"the disk of Ray's folder cannot be read: {error.strerror}")
    found = printable(folder / "ray")
    used = usage.used / (usage.used + usage.free)
    facts = {"folder": found, "free": usage.free}
    if used > _FULL:
        meaning = f"{found} is on a disk that is {used:.0%} full; beyond {_FULL:.0%}, Ray writes no objects to it"
        remedy = "free some space, or set RAY_TMPDIR to a folder on another disk"
        return Finding("Ray's folder", "warning", meaning, remedy, facts)
    return Finding("Ray's folder", "ok", found, "", facts)


def check_free_port(port: int, purpose: str, remedy: str) -> Finding:
    """Check that a port is free.

    Args:
        purpose: the command or program that uses the port.
        remedy: what to do if the port is not free.
    """
    check = f"port {port}"
    try:
        check_port(HOST, port)
    except PortError as error:
        holder = _listener(port)
        found = f"in use{f' by {holder}' if holder else ''}; {purpose} needs it" if _is_in_use(error) else str(error)
        return Finding(check, "warning", found, remedy, {"port": port, "free": False, "holder": holder})
    return Finding(check, "ok", f"free for {purpose}", "", {"port": port, "free": True})


def existing_parent(folder: Path) -> Path:
    """Return a folder if it exists, otherwise its nearest existing parent."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _has_bfloat16(compute: str) -> bool:
    """Return whether a GPU has fast bfloat16 arithmetic, by the same rule as `has_fast_bfloat16` but without torch."""
    major = compute.partition(".")[0]
    return major.isdecimal() and int(major) >= 8


def _torch_without_cuda() -> bool:
    with suppress(PackageNotFoundError):
        return version("torch").endswith("+cpu")
    return False


def _container_memory(cgroups: Path) -> tuple[int, int] | None:
    """Return the memory limit and usage of this container in bytes; None if there is no limit."""
    for limit, usage in _CGROUPS:
        with suppress(OSError, ValueError):  # the file does not exist, or contains the word `max`
            return int((cgroups / limit).read_text()), int((cgroups / usage).read_text())
    return None


def _is_in_use(error: PortError) -> bool:
    return getattr(error.__cause__, "errno", None) == errno.EADDRINUSE


def _listener(port: int) -> str:
    """Return the name and process id of the program that listens on a port; an empty string if it is unknown."""
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""
