import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from raygenre.system import check_machine
from raygenre.system.check_machine import check_disk, check_free_port, check_gpu, check_memory, check_processor
from raygenre.system.check_machine import check_ray_folder as check_ray

AVX2 = frozenset({"avx", "avx2", "fma"})
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}


@pytest.mark.parametrize(
    ("flags", "restricted", "status", "text"),
    [
        (AVX512 | {"avx512_bf16"}, "", "ok", "AVX-512, AVX512-BF16: trains in bfloat16"),
        (AVX512 | {"amx_bf16"}, "", "ok", "AMX: trains in bfloat16"),
        (frozenset({"asimd", "bf16"}), "", "ok", "BF16: trains in bfloat16"),
        (AVX512, "", "ok", "AVX2, AVX-512: trains in float32"),
        (AVX2, "", "ok", "AVX2: trains in float32"),
        (frozenset({"sse2"}), "", "warning", "without AVX2, torch is several times slower"),
        (AVX512 | {"avx512_bf16"}, "avx2", "warning", "restricted to avx2 by ATEN_CPU_CAPABILITY"),
    ],
)
def test_instructions_decide_the_speed(
    flags: frozenset[str], restricted: str, status: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", restricted)
    finding = check_processor(flags)
    assert finding.status == status
    assert text in finding.found
    assert bool(finding.remedy) == (status == "warning")


def test_the_check_agrees_with_torch() -> None:
    import torch

    from raygenre.model.precision import has_fast_bfloat16

    assert check_processor().facts["bfloat16"] == has_fast_bfloat16(torch.device("cpu"))


def test_a_gpu_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'H100, 81559, 570.1, 9.0'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    finding = check_gpu()
    assert finding.found.startswith("H100, 81559 MiB, driver 570.1, trains in bfloat16")
    assert finding.facts["gpus"] == [{"name": "H100", "memory_mib": "81559", "driver": "570.1", "compute": "9.0"}]


@pytest.mark.parametrize(
    ("available", "status", "remedy"),
    [(500e6, "problem", "close other programs"), (2e9, "warning", "--max-concurrent 1")],
)
@pytest.mark.parametrize(
    "files",
    [("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")],
)
def test_the_limit_of_a_container_counts(
    available: float, status: str, remedy: str, files: tuple[str, str], tmp_path: Path
) -> None:
    for name, size in zip(files, (2.5e9, 2.5e9 - available), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{size:.0f}\n")
    finding = check_memory(tmp_path)
    assert finding.status == status
    assert finding.found.startswith(f"{available / 1e9:.1f} of 2.5 GB available, the container's limit")
    assert remedy in finding.remedy


def test_a_container_without_a_limit_has_the_machines_memory(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1\n")
    assert "limit" not in check_memory(tmp_path).found


@pytest.mark.parametrize(("free", "status"), [(1 << 60, "problem"), (0, "ok")])
def test_disk_space_is_checked_before_a_folder_exists(
    free: float, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_machine, "MIN_BYTES", free)
    monkeypatch.setattr(check_machine, "FEW_BYTES", free)
    finding = check_disk(tmp_path / "a" / "b")
    assert finding.status == status
    assert finding.facts["free"] == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)
    assert not list(tmp_path.iterdir())


def test_a_port_in_use_is_reported_with_its_program() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        finding = check_free_port(port, "`raygenre serve`", "choose another")
        assert finding.status == "warning"
        assert f"(process {os.getpid()}); `raygenre serve` needs it" in finding.found
        assert finding.remedy == "choose another"
    assert check_free_port(port, "`raygenre serve`", "choose another").status == "ok"


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose path, unlike those of pytest's folders, is short enough for Ray's sockets."""
    for name in ("RAY_TMPDIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="rf"))
    yield folder
    shutil.rmtree(folder)


def test_rays_folder_is_found_without_creating_it(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(short))
    assert check_ray().found == str(short / "ray")
    monkeypatch.setenv("RAY_TMPDIR", str(short / "own"))
    assert check_ray().found == str(short / "own" / "ray")
    assert not list(short.iterdir())
    monkeypatch.setenv("RAY_TMPDIR", str(short / ("x" * 200)))
    finding = check_ray()
    assert finding.status == "problem"
    assert "too many for a socket" in finding.found
    assert finding.remedy.startswith("set RAY_TMPDIR to a folder of your own")


def test_rays_folder_on_a_nearly_full_disk(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(short))
    monkeypatch.setattr(check_machine, "_FULL", 0.0)
    finding = check_ray()
    assert finding.status == "warning"
    assert "Ray writes no objects to it" in finding.found
