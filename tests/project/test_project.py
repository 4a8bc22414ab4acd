"""What the project says of itself: README examples, pinned versions, packages, make targets."""

import itertools
import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.helpers.project import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
README = (ROOT / "README.md").read_text()


def test_constraints_are_names_and_versions_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_]+", line)] == []


def test_every_requirement_is_pinned_to_a_version_it_allows() -> None:
    pins = pinned_versions()
    extras = PROJECT["project"]["optional-dependencies"].values()
    for text in [*PROJECT["project"]["dependencies"], *itertools.chain(*extras)]:
        requirement = Requirement(text)
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, text


def test_everything_that_the_requirements_need_in_turn_is_pinned_too() -> None:
    """As far as the packages of these requirements are installed: `make test` leaves those of `bench` out."""
    pins = pinned_versions()
    unread = {("raygenre", extra) for extra in ("", *PROJECT["project"]["optional-dependencies"])}
    read: set[tuple[str, str]] = set()
    while unread:
        name, extra = package = unread.pop()
        read.add(package)
        try:
            requirements = [Requirement(text) for text in metadata.requires(name) or []]
        except metadata.PackageNotFoundError:
            continue
        for needed in requirements:
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                unread |= {(canonicalize_name(needed.name), chosen) for chosen in ("", *needed.extras)} - read
    assert {name for name, _ in read} - pins.keys() == {"raygenre"}


def pinned_versions() -> dict[str, str]:
    lines = [line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines()]
    return {canonicalize_name(name): version for name, version in lines}


def test_every_folder_of_code_is_a_package() -> None:
    """Else setuptools would leave it out."""
    folders = {path.parent for folder in ("raygenre", "serve") for path in (ROOT / folder).rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]


def test_every_make_target_is_in_the_help() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[0] for line in text.splitlines() if line.strip()} == targets


def test_every_make_target_and_path_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z][a-z0-9-]+)", README)) <= targets
    for path in re.findall(r"`((?:raygenre|serve|experiments|benchmarks|tests)/[\w./]*)`", README):
        assert (ROOT / path).exists(), path


def test_the_readmes_pictures_of_mlflow_are_those_that_make_screenshots_takes() -> None:
    script = (ROOT / "tests" / "browser" / "test_mlflow.py").read_text()
    taken = {f"docs/mlflow-{name}.png" for name in re.findall(r'\bkeep\(\w+, "(\w+)"\)', script)}
    assert taken == {str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.png")}
    assert taken == set(re.findall(r"docs/[\w-]+\.png", README))
    assert "SCREENSHOTS=docs $(BIN)/pytest -q -m slow tests/browser/test_mlflow.py" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_readme_examples_run(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder with the files that the examples name."""
    import numpy as np
    import torch

    from raygenre.audio.synthesis import synthesise
    from raygenre.model.classifier import Classifier
    from raygenre.model.network import GenreCNN, ModelConfig
    from tests.helpers.sounds import encode

    monkeypatch.chdir(tmp_path)
    song = np.concatenate([synthesise("bells", seed=0), synthesise("storm", seed=0)])
    (tmp_path / "song.mp3").write_bytes(encode(song, "mp3", "libmp3lame"))
    Classifier(GenreCNN(ModelConfig(genres=2, widths=(4, 4, 4))), ("bells", "storm")).save(tmp_path / "classifier")
    torch.manual_seed(0)
    exec(compile(example, "README.md", "exec"), {})
