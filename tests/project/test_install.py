"""Installation: uv uses pip's package indexes, and the output shows only the stages."""

import sys
from pathlib import Path

import pytest

from scripts import install


def test_uv_uses_the_package_indexes_of_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = file:///global\nextra-index-url =\n  file:///a\n  file:///b\n")
    monkeypatch.setattr(install, "PIP", [sys.executable, "-m", "pip"])
    for variable in (*install.SOURCES.values(), "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels /more")
    environment = install.uv_environment()
    assert environment["UV_DEFAULT_INDEX"] == "file:///global"
    assert environment["UV_INDEX"] == "file:///a file:///b"
    assert environment["UV_FIND_LINKS"] == "/wheels,/more"

    monkeypatch.setenv("PIP_INDEX_URL", "file:///environment")
    assert install.uv_environment()["UV_DEFAULT_INDEX"] == "file:///environment"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "file:///uv")
    assert install.uv_environment()["UV_DEFAULT_INDEX"] == "file:///uv"


def test_only_stages_large_downloads_and_errors_are_shown() -> None:
    shown = [
        "Resolved 218 packages in 1.51s",
        "Downloading nvidia-cusparse (144.0MiB)",
        "  Downloading torch-2.15.0-cp311-cp311-manylinux_2_28_x86_64.whl (539.1 MB)",
        "Installing collected packages: torch",
        "error: Failed to fetch",
    ]
    details = [
        " + aiohttp==3.14.5",
        "Downloading ruff (10.2MiB)",
        " Downloaded ruff",
        "Collecting ruff==0.15.2",
        "  Downloading ruff-0.15.2-py3-none-manylinux_2_17_x86_64.whl (10.6 MB)",
        "  Downloading decorator-5.2.1-py3-none-any.whl (9.2 kB)",
        "  Downloading moto-5.1.0-py3-none-any.whl.metadata (120 kB)",
    ]
    assert [line for line in [*shown, *details] if not install.DETAIL.match(line)] == shown
