"""Examples, paths, make targets, names, messages and screenshots in the documents exist and work."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.markdown import DOCUMENTS, blocks, commands, inline_code, label, links, prose
from tests.helpers.project import ROOT

LONGEST = {"README.md": 150, "k8s/README.md": 200}
"""Maximum number of lines in each document that new readers read first."""

LANGUAGES = {"sh", "python", "yaml", "text"}
HISTORY = "CHANGELOG.md"
"""The history may mention files that no longer exist."""

EXAMPLES = [
    block.text
    for path in DOCUMENTS
    for block in blocks(path)
    if block.language == "python" and "raygenre.client" not in block.text  # tests/serve/test_client.py runs those
]
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", LONGEST)
def test_readmes_are_short(name: str) -> None:
    assert len((ROOT / name).read_text().splitlines()) <= LONGEST[name]


@pytest.mark.parametrize("path", DOCUMENTS, ids=label)
def test_code_blocks_are_fenced_and_have_a_language(path: Path) -> None:
    assert {block.language for block in blocks(path)} <= LANGUAGES
    indented = []
    item = 0  # column at which the text of the current list item starts
    lines = prose(path).splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        indent = len(line) - len(line.lstrip())
        if bullet := re.match(r"^ *([-*]|\d+\.) +", line):
            item = bullet.end()
        elif line.strip() and indent == 0:
            item = 0
        elif line.strip() and not before.strip() and indent >= item + 4:
            indented.append(line)
    assert not indented, "use a fenced block"


@pytest.mark.parametrize("path", DOCUMENTS, ids=label)
def test_make_targets_and_paths_exist(path: Path) -> None:
    texts = [*commands(path), *inline_code(path)]
    assert {found[1] for text in texts if (found := re.match(r"make (?:--silent )?([a-z][\w-]+)", text))} <= TARGETS
    for name in re.findall(
        r"`((?:raygenre|serve|experiments|benchmarks|scripts|tests|k8s|docs)/[\w./]*)`", prose(path)
    ):
        assert (
            (ROOT / name).exists()
            or label(path) == HISTORY
            or name.startswith(("k8s/overlays/mine", "k8s/overlays/team-"))
        ), name
    for name in re.findall(r"\btests/[\w/]+\.py", code(path)):
        assert (ROOT / name).exists(), name


def test_tests_that_documents_select_by_name_exist() -> None:
    names = re.findall(r"^def (test_\w+)", "\n".join(p.read_text() for p in ROOT.glob("tests/**/*.py")), re.MULTILINE)
    for path in DOCUMENTS:
        for keyword in re.findall(r'ARGS=".*-k (\w+)"', code(path)):
            assert any(keyword in name for name in names), keyword


def test_classes_that_the_architecture_names_exist() -> None:
    source = "\n".join(path.read_text() for path in [*ROOT.glob("raygenre/**/*.py"), *ROOT.glob("serve/**/*.py")])
    named = {name for name in inline_code(ROOT / "ARCHITECTURE.md") if re.fullmatch(r"([A-Z][a-z]+){2,}", name)}
    stock = {"OptunaSearch", "ProcessPoolExecutor"}  # classes from libraries
    assert {name for name in named if f"class {name}" not in source} <= stock


def test_messages_in_the_tracking_guide_exist() -> None:
    source = " ".join(path.read_text() for path in ROOT.glob("raygenre/**/*.py"))
    source = re.sub(r'"\s+f?"', "", source)  # join string literals that span several lines
    rows = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "tracking.md").read_text(), re.MULTILINE)
    assert rows
    for message in rows:
        for part in message.split("…"):
            assert part.strip() in source, part


def test_settings_that_documents_name_exist() -> None:
    from serve.settings import PREFIX, Settings

    others = {"API_KEY", "CACHE", "STORAGE", "DATA", "STUDY_URL", "TRACKING_URI"}
    known = {name.upper() for name in Settings.model_fields} | others
    for path in DOCUMENTS:
        for name in re.findall(rf"\b{PREFIX}([A-Z_]+)\b", path.read_text()):
            assert name in known, f"{label(path)}: {PREFIX}{name}"


def test_pictures_are_those_that_commands_write() -> None:
    """`make screenshots` writes the screenshots, and `experiments/results.py --write` the learning curves."""
    curves = re.search(r'^CURVES = ROOT / "docs" / "(\S+)"$', (ROOT / "experiments" / "results.py").read_text(), re.M)
    assert curves
    written = {f"docs/{curves[1]}"} | {
        f"docs/{page}-{name}.png"
        for page in ("mlflow", "page")
        for name in re.findall(r'\bkeep\(\w+, "(\w+)"\)', (ROOT / "tests" / "browser" / f"test_{page}.py").read_text())
    }
    assert written == {str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.png")}
    shown = {
        str((path.parent / target).resolve().relative_to(ROOT))
        for path in DOCUMENTS
        for target in links(path)
        if target.endswith(".png")
    }
    assert written == shown
    assert "SCREENSHOTS=docs $(BIN)/pytest -q -m slow tests/browser/test_mlflow.py" in (ROOT / "Makefile").read_text()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files that the examples name, and a champion in ./results."""
    folder = tmp_path_factory.mktemp("examples")
    song_and_classifier(folder)
    champion(folder)
    return folder


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.splitlines()[-1][:40])
def test_python_examples_run(example: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    if "mlflow" not in example:
        exec(compile(example, "example", "exec"), {})
        return
    # Runs in a separate process, because the example sets MLflow's address for the whole process.
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    finished = subprocess.run(
        [sys.executable, "-c", example], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert finished.returncode == 0, finished.stderr


def song_and_classifier(folder: Path) -> None:
    import numpy as np

    from raygenre.audio.synthesis import synthesise
    from raygenre.model.classifier import Classifier
    from raygenre.model.network import GenreCNN, ModelConfig
    from tests.helpers.sounds import encode

    song = np.concatenate([synthesise("bells", seed=0), synthesise("storm", seed=0)])
    (folder / "song.mp3").write_bytes(encode(song, "mp3", "libmp3lame"))
    Classifier(GenreCNN(ModelConfig(genres=2, widths=(4, 4, 4))), ("bells", "storm")).save(folder / "classifier")


def champion(folder: Path) -> None:
    from raygenre.evaluation.version_facts import VersionFacts
    from raygenre.model.classifier import Classifier
    from raygenre.registry import champion as alias
    from raygenre.registry import versions
    from raygenre.system.storage import resolve
    from raygenre.tracking.server import Server

    storage = resolve(folder / "results")
    server = Server(storage)
    run = server.client.create_run(server.experiment_id)
    sha256 = Classifier.load(folder / "classifier").sha256
    facts = VersionFacts(test_accuracy=0.7, test_digest="t", synthetic=True, study="s", sha256=sha256)
    alias.promote(server, versions.register(server, run.info.run_id, folder / "classifier", facts))


def code(path: Path) -> str:
    """Return all code in a document, both fenced and inline."""
    return "\n".join([*(block.text for block in blocks(path)), *(f"`{text}`" for text in inline_code(path))])
