import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raygenre.audio.synthesis import synthesise
from raygenre.data.dataset import Dataset
from raygenre.inputs.kind import WINDOWS_PER_PART, Song
from raygenre.inputs.levels import LEVELS
from raygenre.model.calibration import Calibration
from raygenre.model.classifier import ABOUT, EXAMPLES, TRACKS, WEIGHTS, Classifier, ClassifierError
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.model.seen_tracks import SeenTracks
from raygenre.spectrogram.image import write_png
from raygenre.spectrogram.levels import levels
from raygenre.system.hashing import sha256_of
from tests.helpers.bad_files import BAD
from tests.helpers.sounds import encode

GENRES = ("bells", "drone", "storm")


def classifier(seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    model = GenreCNN(ModelConfig(genres=3, widths=(4, 4, 4)))
    return Classifier(model, GENRES, Calibration(2.0, 0.6), {"study": "none", "setting": {"dropout": 0.3}})


def test_loaded_classifier_predicts_like_the_saved_one(tracks: Dataset, tmp_path: Path) -> None:
    original = classifier()
    original.save(tmp_path / "model")
    loaded = Classifier.load(tmp_path / "model")
    assert np.allclose(loaded.probabilities(tracks.levels[:5]), original.probabilities(tracks.levels[:5]), atol=1e-6)
    assert loaded.genres == GENRES
    assert loaded.origin == original.origin
    assert loaded.calibration == original.calibration
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [ABOUT, EXAMPLES, WEIGHTS]


def test_seen_tracks_are_saved_with_the_classifier(tmp_path: Path) -> None:
    seen = SeenTracks({"a": "01"}, {"b": "02"})
    replace(classifier(), seen=seen).save(tmp_path / "model")
    assert Classifier.load(tmp_path / "model").seen == seen
    (tmp_path / "model" / TRACKS).write_text("{}")
    with pytest.raises(ClassifierError, match="lists of tracks"):
        Classifier.load(tmp_path / "model")
    (tmp_path / "model" / TRACKS).unlink()
    assert Classifier.load(tmp_path / "model").seen is None


def test_saving_to_an_existing_folder_raises_an_error(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(FileExistsError, match="already exists"):
        classifier().save(tmp_path / "model")
    assert not list((tmp_path / "model").iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_probabilities_do_not_depend_on_the_batch(tracks: Dataset) -> None:
    model = classifier()
    batched = model.probabilities(tracks.levels)
    single = np.concatenate([model.probabilities(tracks.levels[i : i + 1]) for i in range(len(tracks.levels))])
    assert np.allclose(batched, single, atol=1e-6)
    assert np.allclose(batched.sum(axis=1), 1, atol=1e-6)


def test_song_and_its_image_get_the_same_prediction() -> None:
    samples = synthesise("bells", seed=3)
    image = write_png(levels(torch.from_numpy(samples)).numpy())
    sound = encode(samples, "wav", "pcm_f32le")
    model = classifier()
    assert model.predict(LEVELS.read(sound)) == model.predict(LEVELS.read(image))


def test_probabilities_of_a_long_song_average_its_windows() -> None:
    song = LEVELS.read(
        encode(np.concatenate([synthesise("bells", seed=0), synthesise("storm", seed=0)]), "flac", "flac")
    )
    assert len(song.windows) == len(song.times) == 2
    prediction = classifier().predict(song)
    for genre in GENRES:
        mean = np.mean([window[genre] for window in prediction.windows])
        assert prediction.probabilities[genre] == pytest.approx(mean, abs=1e-6)
    assert prediction.confidence == max(prediction.probabilities.values())


def test_predict_many_returns_one_prediction_per_song() -> None:
    model = classifier()
    short = LEVELS.read(write_png(np.full((128, 333), 7, dtype=np.uint8)))
    long = LEVELS.read(encode(np.concatenate([synthesise("bells", seed=0)] * 2), "flac", "flac"))
    predictions = model.predict_many([short, long, short])
    assert [len(prediction.windows) for prediction in predictions] == [1, 2, 1]
    assert predictions[0].probabilities == pytest.approx(model.predict(short).probabilities, abs=1e-6)
    assert predictions[1].probabilities == pytest.approx(model.predict(long).probabilities, abs=1e-6)


@pytest.mark.parametrize("name", BAD)
def test_file_that_is_neither_image_nor_audio_raises_an_error(name: str, tmp_path: Path) -> None:
    data, reason = BAD[name]
    (tmp_path / "song.mp3").write_bytes(data)
    for source in (data, tmp_path / "song.mp3"):
        with pytest.raises(ValueError, match=reason):
            LEVELS.read(source)
    assert [path.name for path in tmp_path.iterdir()] == ["song.mp3"]


def test_reading_a_path_equals_reading_its_bytes(tmp_path: Path) -> None:
    for data in (encode(synthesise("bells", seed=0), "flac", "flac"), write_png(np.eye(128, 333, dtype=np.uint8))):
        (tmp_path / "song").write_bytes(data)
        assert np.array_equal(LEVELS.read(tmp_path / "song").windows, LEVELS.read(data).windows)


def test_silent_song_raises_an_error() -> None:
    silence = np.zeros(31 * 22_050, dtype=np.float32)
    for data in (encode(silence, "flac", "flac"), write_png(np.zeros((128, 333), dtype=np.uint8))):
        with pytest.raises(ValueError, match="silent from beginning to end"):
            LEVELS.read(data)


def test_silent_windows_are_skipped() -> None:
    sound = synthesise("bells", seed=0)
    song = LEVELS.read(
        encode(np.concatenate([sound, np.zeros(2 * len(sound), dtype=np.float32), sound]), "flac", "flac")
    )
    assert [round(start) for start, _ in song.times] == [0, 90]
    assert song.windows.any(axis=(1, 2)).all()


def test_changed_weights_raise_an_error(tmp_path: Path) -> None:
    classifier(0).save(tmp_path / "one")
    classifier(1).save(tmp_path / "two")
    (tmp_path / "one" / WEIGHTS).write_bytes((tmp_path / "two" / WEIGHTS).read_bytes())
    with pytest.raises(ClassifierError, match="not those"):
        Classifier.load(tmp_path / "one")


def test_another_spectrogram_recipe_raises_an_error(tmp_path: Path) -> None:
    classifier().save(tmp_path / "model")
    about = json.loads((tmp_path / "model" / ABOUT).read_text())
    (tmp_path / "model" / ABOUT).write_text(json.dumps(about | {"recipe": "other"}))
    with pytest.raises(ClassifierError, match="recipe other"):
        Classifier.load(tmp_path / "model")


@pytest.mark.parametrize("damage", ["no folder", "no weights", "no json", "half json", "no examples", "half examples"])
def test_error_for_an_incomplete_folder_names_it(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "model"
    classifier().save(folder)
    if damage == "no folder":
        folder = tmp_path / "elsewhere"
    elif damage == "no weights":
        (folder / WEIGHTS).unlink()
    elif damage == "no json":
        (folder / ABOUT).unlink()
    elif damage == "half json":
        (folder / ABOUT).write_text((folder / ABOUT).read_text()[:50])
    elif damage == "no examples":
        (folder / EXAMPLES).unlink()
    else:
        (folder / EXAMPLES).write_bytes((folder / EXAMPLES).read_bytes()[:50])
    with pytest.raises(ClassifierError, match=folder.name):
        Classifier.load(folder)


def test_mismatched_outputs_and_genres_raise_an_error() -> None:
    with pytest.raises(ValueError, match="3 outputs for 2 genres"):
        Classifier(GenreCNN(ModelConfig(genres=3, widths=(4, 4, 4))), ("a", "b"))


def test_prediction_below_the_threshold_is_uncertain(tracks: Dataset) -> None:
    song = Song(tracks.levels[:1], ())
    confidence = classifier().predict(song).confidence
    for threshold, uncertain in ((confidence, False), (np.nextafter(confidence, 1), True)):
        prediction = replace(classifier(), calibration=Calibration(2.0, float(threshold))).predict(song)
        assert prediction.confidence == confidence
        assert prediction.uncertain is uncertain


def test_temperature_changes_the_confidence_but_not_the_genre(tracks: Dataset) -> None:
    cold, warm = (replace(classifier(), calibration=Calibration(t, 0.5)).probabilities(tracks.levels) for t in (0.5, 3))
    assert (cold.argmax(axis=1) == warm.argmax(axis=1)).all()
    assert (cold.max(axis=1) > warm.max(axis=1)).all()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    classifier().save(folder)
    return folder


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    """A copy of the saved classifier's folder, which a test may change."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def edit(folder: Path, *, as_format_3: bool = False, **changes: object) -> None:
    """Change entries of classifier.json; in format 3, from earlier releases, the checksum covers only the weights."""
    about = json.loads((folder / ABOUT).read_text())
    if as_format_3:
        about |= {"format": 3, "sha256": about.pop("weights_sha256")}
    (folder / ABOUT).write_text(json.dumps(about | changes))


@pytest.mark.parametrize(
    "change",
    [
        {"genres": GENRES[::-1]},
        {"genres": ["bells", "drone", "rain"]},
        {"calibration": {"temperature": 2.0, "threshold": 0.0}},
        {"calibration": {"temperature": 1.0, "threshold": 0.6}},
        {"sha256": "0" * 64},
    ],
)
def test_the_checksum_covers_what_decides_an_answer(change: dict[str, Any], model: Path) -> None:
    edit(model, **change)
    with pytest.raises(ClassifierError, match=r"model: the genres, calibration or network .* SHA-256"):
        Classifier.load(model)


def test_a_changed_classifier_cannot_pass_as_an_earlier_format(model: Path) -> None:
    edit(model, format=3, genres=GENRES[::-1])
    with pytest.raises(ClassifierError, match="SHA-256 differs"):
        Classifier.load(model)


def test_format_3_loads_and_predicts_as_before(tracks: Dataset, model: Path) -> None:
    original = classifier()
    edit(model, as_format_3=True)
    loaded = Classifier.load(model)
    loaded.verify()
    assert np.allclose(loaded.probabilities(tracks.levels[:5]), original.probabilities(tracks.levels[:5]), atol=1e-6)
    assert loaded.sha256 == sha256_of(model / WEIGHTS)  # the checksum that earlier releases registered


@pytest.mark.parametrize("as_format_3", [True, False])
@pytest.mark.parametrize(
    ("genres", "reason"),
    [
        (["bells", "drone", "bells"], "the genre 'bells' is listed 2 times"),
        (["bells", "drone", 3], "each genre must be a name, not 3"),
        (["bells", "drone", ["storm"]], "each genre must be a name"),
        (["bells", "drone", " "], "each genre must be a name, not ' '"),
        ("abc", "must be a list of names, not 'abc'"),
        ({"a": 0, "b": 1, "c": 2}, "must be a list of names"),
        (None, "must be a list of names"),
        ([], "must be a list of names"),
    ],
)
def test_genres_that_are_not_distinct_names_are_refused(
    genres: object, reason: str, as_format_3: bool, model: Path
) -> None:
    edit(model, as_format_3=as_format_3, genres=genres)
    with pytest.raises(ClassifierError, match=f"cannot load a classifier from .*model: .*{reason}"):
        Classifier.load(model)


def test_reversed_genres_of_a_format_3_search_are_refused(tmp_path: Path) -> None:
    """A search records the number of training tracks per genre in the original order, so a reversal is detected."""
    counts = dict.fromkeys(GENRES, 10)
    replace(classifier(), origin={"train_counts": counts}).save(tmp_path / "model")
    edit(tmp_path / "model", as_format_3=True)
    assert Classifier.load(tmp_path / "model").genres == GENRES
    edit(tmp_path / "model", genres=GENRES[::-1])
    with pytest.raises(ClassifierError, match=r"not in the order in which .*: 'bells', 'drone', 'storm'"):
        Classifier.load(tmp_path / "model")


def test_doubled_genres_raise_an_error() -> None:
    with pytest.raises(ClassifierError, match="the genre 'bells' is listed 2 times"):
        replace(classifier(), genres=("bells", "drone", "bells"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    broken = classifier()
    *_, (name, tensor) = broken.model.named_parameters()
    with torch.no_grad():
        tensor[1] = value
    broken.save(tmp_path / "model")
    with pytest.raises(ClassifierError, match=f"model: 1 of 3 values of the tensor {name} are not finite"):
        Classifier.load(tmp_path / "model")


def test_weights_whose_outputs_overflow_are_refused(tracks: Dataset, tmp_path: Path) -> None:
    broken = classifier()
    with torch.no_grad():
        for tensor in broken.model.parameters():
            tensor.fill_(1e38)
    assert not np.isfinite(broken.probabilities(tracks.levels[:1])).all()
    broken.save(tmp_path / "model")
    with pytest.raises(ClassifierError, match="are not probabilities"):
        Classifier.load(tmp_path / "model")


@pytest.mark.parametrize(
    "calibration",
    [
        None,
        {"temperature": 0.0, "threshold": 0.5},
        {"temperature": -1.0, "threshold": 0.5},
        {"temperature": np.nan, "threshold": 0.5},
        {"temperature": np.inf, "threshold": 0.5},
        {"temperature": 1e-300, "threshold": 0.5},
        {"temperature": "1", "threshold": 0.5},
        {"temperature": True, "threshold": 0.5},
        {"temperature": 1, "threshold": 7},
        {"temperature": 1, "threshold": np.nan},
        {"temperature": 1, "threshold": None},
    ],
)
def test_invalid_calibration_raises_an_error(calibration: dict[str, object] | None, model: Path) -> None:
    edit(model, as_format_3=True, calibration=calibration)
    with pytest.raises(ClassifierError, match="must be a number from" if calibration else "cannot load a classifier"):
        Classifier.load(model)


def test_verify_compares_with_the_stored_examples(tmp_path: Path) -> None:
    classifier(0).save(tmp_path / "one")
    classifier(1).save(tmp_path / "two")
    Classifier.load(tmp_path / "one").verify()
    (tmp_path / "one" / EXAMPLES).write_bytes((tmp_path / "two" / EXAMPLES).read_bytes())
    with pytest.raises(ClassifierError, match="differ by"):
        Classifier.load(tmp_path / "one").verify()
    with pytest.raises(ClassifierError, match="not loaded"):
        classifier().verify()


def test_prediction_in_parts_is_that_of_the_whole_song() -> None:
    random = np.random.default_rng(0)
    length = 2 * WINDOWS_PER_PART + 7
    song = Song(
        random.integers(0, 256, (length, 128, 333), dtype=np.uint8),
        tuple((30.0 * number, 30.0 * number + 30) for number in range(length)),
    )
    cuts = range(0, length, WINDOWS_PER_PART)
    parts = [Song(song.windows[i : i + WINDOWS_PER_PART], song.times[i : i + WINDOWS_PER_PART]) for i in cuts]
    assert classifier().predict_parts(iter(parts)) == (classifier().predict(song), song.times)


def test_progress_callback_is_called_and_can_abort_reading() -> None:
    song = encode(np.concatenate([synthesise("bells", seed=0), synthesise("storm", seed=0)]), "mp3", "libmp3lame")
    stages: list[str] = []
    LEVELS.read(song, progress=stages.append)
    assert (stages[0], stages[-1]) == ("decode", "input")
    assert stages.count("decode") > 100
    assert 2 < stages.count("input") < 30

    class AbortedError(Exception):
        pass

    def abort(stage: str) -> None:
        stages.append(stage)
        if len(stages) == 10:
            raise AbortedError

    stages.clear()
    with pytest.raises(AbortedError):
        LEVELS.read(song, progress=abort)
    assert len(stages) == 10


def test_too_long_audio_raises_an_error() -> None:
    with pytest.raises(ValueError, match="limit of 10 s"):
        LEVELS.read(encode(synthesise("bells", seed=0), "flac", "flac"), longest_seconds=10)
