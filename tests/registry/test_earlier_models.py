"""Models registered by earlier releases still load; each contains a copy of that release's code.

`save_pyfunc` wrote the MLflow model `earlier/flat-modules.tar.xz` when all modules were in one folder. The model is an
untrained network with 4 filters and the genres `bells` and `storm`.
"""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from raygenre.model import Classifier
from raygenre.registry import versions
from raygenre.spectrogram.image import write_png
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server

ARCHIVE = Path(__file__).with_name("earlier") / "flat-modules.tar.xz"


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder / "model"


def test_an_earlier_model_is_served(earlier: Path) -> None:
    """The endpoint and the commands read only the classifier's files and ignore the code next to them."""
    classifier = versions.fetch(Server(resolve(earlier.parent)), str(earlier / "artifacts" / "classifier")).classifier
    classifier.verify()
    assert classifier.genres == ("bells", "storm")


def test_an_earlier_model_loads_as_a_pyfunc(earlier: Path, tmp_path: Path) -> None:
    """The model executes its own copy of the code in a separate process, as with `mlflow models serve`."""
    classifier = Classifier.load(earlier / "artifacts" / "classifier")
    assert classifier.examples is not None
    picture = write_png(classifier.examples.inputs[0])
    (tmp_path / "song.png").write_bytes(picture)
    script = (
        "import sys, mlflow, pandas\n"
        f"model = mlflow.pyfunc.load_model({str(earlier)!r})\n"
        f"answers = model.predict(pandas.DataFrame({{'file': [open({str(tmp_path / 'song.png')!r}, 'rb').read()]}}))\n"
        "print(answers.genre[0], answers.confidence[0], sys.modules['raygenre'].__file__)\n"
    )
    finished = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    genre, confidence, code = finished.stdout.split()
    expected = max(classifier.examples.probabilities[0])
    assert float(confidence) == pytest.approx(float(expected), abs=1e-5)
    assert genre in classifier.genres
    assert Path(code).is_relative_to(earlier)
