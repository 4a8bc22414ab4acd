"""Classifiers on pretrained features need only their own folder, and detect changed files in it."""

import json
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from raygenre.audio.synthesis import synthesise
from raygenre.inputs.features import FOLDER, Features
from raygenre.inputs.levels import LEVELS
from raygenre.model.calibration import Calibration
from raygenre.model.classifier import ABOUT, EXAMPLES, WEIGHTS, Classifier, ClassifierError
from raygenre.model.input_drift import MIN_SONGS, Drift, Reference
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.pretrained import store
from tests.helpers.musicnn import LICENCE, small_features, small_head
from tests.helpers.sounds import encode

GENRES = ("bells", "drone", "storm")


@pytest.fixture(scope="module")
def original(features: Features) -> Classifier:
    return replace(small_head(features, GENRES), calibration=Calibration(2.0, 0.6))


@pytest.fixture(scope="module")
def saved(original: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    original.save(folder)
    return folder


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    """A copy of the saved classifier's folder, which a test may change."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


@pytest.fixture(scope="module")
def sound() -> bytes:
    return encode(synthesise("bells", seed=3)[: 5 * 22_050], "flac", "flac")


def test_a_loaded_classifier_needs_nothing_else(original: Classifier, saved: Path, sound: bytes) -> None:
    """The user's cache is empty, so everything must come from the classifier's folder."""
    assert not store.is_installed()
    assert sorted(path.name for path in saved.iterdir()) == [ABOUT, EXAMPLES, FOLDER, WEIGHTS]
    loaded = Classifier.load(saved)
    loaded.verify()
    assert (loaded.input.recipe, loaded.input.weights_sha256) == (original.input.recipe, original.input.weights_sha256)
    song = loaded.input.read(sound)
    assert loaded.predict(song).probabilities == pytest.approx(
        original.predict(original.input.read(sound)).probabilities, abs=1e-6
    )
    prediction, times = loaded.predict_parts(loaded.input.read_parts(sound))
    assert (prediction, times) == (loaded.predict(song), song.times)
    assert json.loads((saved / FOLDER / store.ABOUT).read_text())["licence_text"] == LICENCE


def test_a_saved_copy_of_a_loaded_classifier_is_the_same(saved: Path, tmp_path: Path) -> None:
    """Loaded classifiers are saved again, for example when the registry stores them."""
    loaded = Classifier.load(saved)
    loaded.save(tmp_path / "copy")
    assert Classifier.load(tmp_path / "copy").sha256 == loaded.sha256


@pytest.mark.parametrize("missing", ["", store.WEIGHTS, store.ABOUT])
def test_a_missing_extractor_is_named_with_the_remedy(model: Path, missing: str) -> None:
    if missing:
        (model / FOLDER / missing).unlink()
    else:
        shutil.rmtree(model / FOLDER)
    with pytest.raises(ClassifierError, match=r"extractor is missing or damaged; restore the classifier's folder") as e:
        Classifier.load(model)
    assert "pretrained install" not in str(e.value)  # that command would not restore the classifier's folder


def test_another_extractor_is_refused(model: Path, tmp_path: Path) -> None:
    small_features(tmp_path / "other", seed=1)
    shutil.rmtree(model / FOLDER)
    shutil.copytree(tmp_path / "other", model / FOLDER)
    with pytest.raises(ClassifierError, match="the pretrained weights are not those described in classifier"):
        Classifier.load(model)
    about = json.loads((model / ABOUT).read_text())
    for sha256 in (json.loads((model / FOLDER / store.ABOUT).read_text())["sha256"], ""):
        (model / ABOUT).write_text(json.dumps(about | {"extractor_sha256": sha256}))
        with pytest.raises(ClassifierError, match="their SHA-256 differs"):
            Classifier.load(model)


def test_changed_weights_of_the_extractor_are_refused(model: Path) -> None:
    path = model / FOLDER / store.WEIGHTS
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ClassifierError, match="extractor is missing or damaged"):
        Classifier.load(model)


@pytest.mark.parametrize("recipe", ["gtzan-1", "musicnn-2"])
def test_another_recipe_is_refused(model: Path, recipe: str) -> None:
    about = json.loads((model / ABOUT).read_text())
    (model / ABOUT).write_text(json.dumps(about | {"recipe": recipe}))
    with pytest.raises(ClassifierError, match=r"cannot load a classifier from .*model: "):
        Classifier.load(model)


def test_the_self_check_covers_the_extractor(original: Classifier, saved: Path, tmp_path: Path) -> None:
    """A library may compute different features even if all files are intact."""
    loaded = Classifier.load(saved)
    replace(loaded, input=small_features(tmp_path / "same")).verify()
    with pytest.raises(ClassifierError, match="probabilities of the stored examples differ"):
        replace(loaded, input=small_features(tmp_path / "other", seed=1)).verify()


def test_a_network_and_its_input_must_fit(features: Features) -> None:
    head = small_head(features, GENRES).model
    with pytest.raises(ClassifierError, match=r"expects input of shape \(\d+,\), not \(128, 333\)"):
        Classifier(head, GENRES, input=LEVELS)
    cnn = GenreCNN(ModelConfig(genres=3, widths=(4, 4, 4)))
    with pytest.raises(ClassifierError, match=r"expects input of shape \(128, 333\), not \(\d+,\)"):
        Classifier(cnn, GENRES, input=features)


def predicted(classifier: Classifier, sound: bytes) -> tuple[bool, dict[str, float]]:
    return classifier.input is LEVELS, dict(classifier.predict(classifier.input.read(sound)).probabilities)


def test_a_classifier_survives_the_way_to_another_process(original: Classifier, sound: bytes) -> None:
    cnn = Classifier(GenreCNN(ModelConfig(genres=3, widths=(4, 4, 4))), GENRES)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        answers = list(pool.map(predicted, [original, cnn], [sound, sound]))
    assert [is_levels for is_levels, _ in answers] == [False, True]
    assert answers[0][1] == pytest.approx(predicted(original, sound)[1], abs=1e-6)


def test_drift_is_measured_from_features(features: Features) -> None:
    random = np.random.default_rng(0)
    songs = random.standard_normal((900, *features.shape)).astype(np.float32)
    reference = Reference.from_json(json.loads(json.dumps(Reference.of(features.summaries(songs[:600])).to_json())))
    similar, shifted = Drift(reference), Drift(reference)
    for song in songs[600 : 600 + MIN_SONGS]:
        similar.add(features.summaries(song[None]))
        shifted.add(features.summaries(song[None] + 3))
    assert similar.index is not None
    assert shifted.index is not None
    assert similar.index.max() < 0.25 < shifted.index.max()
