"""Installing the pretrained network from a local or downloaded wheel, and reading it back."""

import json
import sys
from pathlib import Path

import pytest
import torch

from raygenre.errors import FileAccessError
from raygenre.pretrained.conversion import network_from
from raygenre.pretrained.install import DATA, SHA256, TAGS, install
from raygenre.pretrained.network import Dimensions
from raygenre.pretrained.store import ABOUT, WEIGHTS, PretrainedError, default_folder, is_installed, load, read_about
from tests.helpers.musicnn import LICENCE, SMALL, random_variables, wheel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "pretrained"


def test_weights_licence_and_source_are_installed(tmp_path: Path, folder: Path) -> None:
    variables = random_variables()
    path, sha256 = wheel(tmp_path, variables)
    about = install(path, folder=folder, sha256=sha256)
    pretrained = load(folder)
    assert pretrained.about == about == read_about(folder)
    assert (about.licence, about.licence_text, about.source_sha256) == ("ISC", LICENCE, sha256)
    assert "musicnn 0.1.0" in about.source
    assert about.tags == TAGS
    assert pretrained.network.dimensions == SMALL
    expected = network_from(variables).state_dict()
    assert all(torch.equal(values, expected[name]) for name, values in pretrained.network.state_dict().items())
    assert sorted(path.name for path in folder.iterdir()) == [ABOUT, WEIGHTS]


def test_installing_again_replaces_damaged_weights(tmp_path: Path, folder: Path) -> None:
    path, sha256 = wheel(tmp_path)
    install(path, folder=folder, sha256=sha256)
    (folder / WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(PretrainedError, match="was changed: its SHA-256"):
        load(folder)
    install(path, folder=folder, sha256=sha256)
    assert load(folder).network.dimensions == SMALL
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_damaged_description_is_named(tmp_path: Path, folder: Path) -> None:
    path, sha256 = wheel(tmp_path)
    install(path, folder=folder, sha256=sha256)
    fields = json.loads((folder / ABOUT).read_text())
    (folder / ABOUT).write_text(json.dumps(fields | {"dimensions": fields["dimensions"] | {"units": 9}}))
    with pytest.raises(PretrainedError, match="is damaged"):
        load(folder)
    (folder / ABOUT).write_text("{}")
    with pytest.raises(PretrainedError, match="remove the folder and run `raygenre pretrained install`"):
        load(folder)


def test_another_wheel_is_refused(tmp_path: Path, folder: Path) -> None:
    path, _ = wheel(tmp_path)
    with pytest.raises(PretrainedError, match=rf"not the wheel of musicnn 0.1.0: its SHA-256 is .*, not {SHA256}"):
        install(path, folder=folder)
    with pytest.raises(FileAccessError, match="cannot be read"):
        install(tmp_path / "missing.whl", folder=folder)
    path, sha256 = wheel(tmp_path, without=DATA)
    with pytest.raises(PretrainedError, match="does not contain the weights"):
        install(path, folder=folder, sha256=sha256)
    path, sha256 = wheel(tmp_path, random_variables(Dimensions(timbral=2, temporal=2, middle=2, units=2, tags=3)))
    with pytest.raises(PretrainedError, match="3 tags, not 50"):
        install(path, folder=folder, sha256=sha256)
    assert not is_installed(folder)
    with pytest.raises(PretrainedError, match=r"is not installed in .*; run `raygenre pretrained install`"):
        load(folder)


@pytest.mark.integration
@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_pip_or_uv_downloads_the_wheel(
    tmp_path: Path, folder: Path, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sha256 = wheel(tmp_path)
    sources = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "UV_OFFLINE": "1", "UV_FIND_LINKS": str(tmp_path)}
    for name, value in (sources | {"UV_CACHE_DIR": str(tmp_path / "uv")}).items():
        monkeypatch.setenv(name, value)
    if tool == "uv":
        monkeypatch.setitem(sys.modules, "pip", None)  # as in an environment without pip
    assert install(folder=folder, sha256=sha256).source_sha256 == sha256
    assert load(folder).network.dimensions == SMALL
    assert path.exists()
    refused = rf"musicnn 0.1.0 cannot be downloaded: .*{sha256}.*; .*pass the file with --from"
    with pytest.raises(PretrainedError, match=refused):
        install(folder=folder)


def test_the_cache_is_found_by_the_platforms_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAYGENRE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert default_folder() == tmp_path / ".cache/raygenre/pretrained/MSD_musicnn"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_folder() == tmp_path / ".cache/raygenre/pretrained/MSD_musicnn"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder() == tmp_path / "xdg/raygenre/pretrained/MSD_musicnn"
    monkeypatch.setenv("RAYGENRE_CACHE", "~/own")
    assert default_folder() == tmp_path / "own/pretrained/MSD_musicnn"
