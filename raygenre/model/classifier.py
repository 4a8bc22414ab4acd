"""Classifier: a trained network with everything needed to predict a song's genre.

On disk, a classifier is a folder with these files:

    weights.safetensors     the network's weights
    classifier.json         dimensions, genres in the order of the logits, calibration, recipe of the input, checksums,
                            origin, and library versions
    examples.safetensors    the input for a few tracks, with the probabilities that the network computed when it was
                            saved
    tracks.json             the tracks that it was trained and tested on (optional)
    extractor/              the pretrained network that computes its input, with its licence (only for features)

Loading reads only these files and executes no code from them. The checksum `sha256` covers everything that determines a
prediction: all weights, dimensions, genres, calibration and recipe. In format 3, which earlier releases wrote, the
checksum covers only the weights.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialise

from raygenre.inputs import kinds
from raygenre.inputs.kind import InputKind, Song
from raygenre.inputs.levels import LEVELS
from raygenre.model.calibration import Calibration
from raygenre.model.classifier_files import ABOUT as ABOUT
from raygenre.model.classifier_files import FORMAT, check_finite, check_saved, checksum, genres_problem
from raygenre.model.classifier_files import WEIGHTS as WEIGHTS
from raygenre.model.classifier_files import ClassifierError as ClassifierError
from raygenre.model.inference import predict_logits
from raygenre.model.networks import Network, build, config_of, silence
from raygenre.model.seen_tracks import SeenTracks
from raygenre.model.self_check import SelfCheck, SelfCheckError
from raygenre.prediction import Prediction as Prediction
from raygenre.pretrained.store import PretrainedError
from raygenre.system.atomic_write import atomic_folder
from raygenre.system.hashing import sha256_of

EXAMPLES, TRACKS = "examples.safetensors", "tracks.json"


@dataclass(frozen=True)
class Classifier:
    """A network in evaluation mode, with its genres, calibration and origin.

    Attributes:
        calibration: temperature and threshold, fitted on predictions that networks with the same hyperparameters
            made for tracks on which they were not trained.
        origin: facts about the training run for users and the registry, such as the study, the data digest, and
            whether the data is synthetic.
        sha256: the checksum that was verified when the classifier was loaded; empty if it was not loaded from disk.
        examples: expected outputs for `verify`; None if the classifier was not loaded from disk.
        seen: the tracks that the classifier was trained and tested on; None if unknown.
        versions: library versions at the time of saving; empty if the classifier was not loaded from disk.
        input: the kind of input that the network takes; `input.read` reads a file for `predict`.
    """

    model: Network
    genres: tuple[str, ...]
    calibration: Calibration = field(default_factory=Calibration)
    origin: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""
    examples: SelfCheck | None = None
    seen: SeenTracks | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    input: InputKind = LEVELS

    def __post_init__(self) -> None:
        if problem := genres_problem(self.genres):
            raise ClassifierError(problem)
        if len(self.genres) != self.model.config.genres:
            raise ClassifierError(f"the network has {self.model.config.genres} outputs for {len(self.genres)} genres")
        if (needed := silence(self.model.config).shape[1:]) != self.input.shape:
            raise ClassifierError(f"the network expects input of shape {needed}, not {self.input.shape}")

    def probabilities(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Return calibrated probabilities, float32 (N, G) with rows that sum to 1, for inputs (N, *shape)."""
        return self.calibration.probabilities(predict_logits(self.model, inputs)).numpy()

    def predict(self, song: Song) -> Prediction:
        """Classify a song by the mean of its windows' probabilities."""
        return self.predict_many([song])[0]

    def predict_many(self, songs: Sequence[Song]) -> list[Prediction]:
        """Classify several songs in one pass."""
        rows = self.probabilities(np.concatenate([song.windows for song in songs]))  # (sum of W, G)
        ends = np.cumsum([len(song.windows) for song in songs])
        return [self.combine_windows(part) for part in np.split(rows, ends[:-1])]

    def predict_parts(self, parts: Iterable[Song]) -> tuple[Prediction, tuple[tuple[float, float], ...]]:
        """Classify a song that is read in parts; return its prediction and the times of all its windows.

        Memory use does not grow with the song's length. The prediction is the same, bit for bit, as for the song read
        as a whole.
        """
        rows: list[NDArray[np.float32]] = []
        times: list[tuple[float, float]] = []
        for part in parts:
            rows.append(self.probabilities(part.windows))
            times.extend(part.times)
        return self.combine_windows(np.concatenate(rows)), tuple(times)

    def combine_windows(self, rows: NDArray[np.float32]) -> Prediction:
        """Return a song's prediction from its windows' probabilities (W, G)."""
        mean = rows.mean(axis=0)
        best = int(mean.argmax())
        confidence = float(mean[best])
        return Prediction(
            genre=self.genres[best],
            confidence=confidence,
            uncertain=confidence < self.calibration.threshold,
            probabilities=self._named(mean),
            windows=tuple(self._named(row) for row in rows),
        )

    def on(self, device: torch.device) -> "Classifier":
        """Return this classifier with its networks moved to a device."""
        return replace(self, model=self.model.to(device), input=self.input.on(device))

    def verify(self) -> None:
        """Run the self-check: classify the stored examples and compare the probabilities.

        Raises:
            ClassifierError: the classifier has no examples, or the probabilities differ from the stored values.
        """
        if self.examples is None:
            raise ClassifierError("the classifier was not loaded from a folder and has no examples to verify")
        try:
            self.examples.verify(self.probabilities, self.input)
        except SelfCheckError as error:
            raise ClassifierError(str(error)) from error

    def save(self, folder: Path) -> None:
        """Write the classifier atomically to a new folder.

        Raises:
            FileExistsError: the folder exists.
            OSError: the folder cannot be written.
        """
        if folder.exists():
            raise FileExistsError(f"{folder} already exists")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(folder) as unfinished:
            weights = {name: tensor.contiguous() for name, tensor in self.model.state_dict().items()}
            (unfinished / WEIGHTS).write_bytes(serialise(weights))
            SelfCheck.of(self.probabilities, self.input).save(unfinished / EXAMPLES)
            self.input.save(unfinished)
            if self.seen:
                (unfinished / TRACKS).write_text(self.seen.to_json())
            digest = sha256_of(unfinished / WEIGHTS)
            decisive: dict[str, Any] = {
                "model": asdict(self.model.config),
                "genres": self.genres,
                "calibration": asdict(self.calibration),
                "recipe": self.input.recipe,
            }
            if self.input.weights_sha256:
                decisive["extractor_sha256"] = self.input.weights_sha256
            about = {
                "format": FORMAT,
                **decisive,
                "weights_sha256": digest,
                "sha256": checksum(decisive, digest),
                "versions": {name: version(name) for name in ("raygenre", "torch", "numpy", "av", "soxr")},
                "origin": dict(self.origin),
            }
            (unfinished / ABOUT).write_text(json.dumps(about, indent=1))

    @classmethod
    def load(cls, folder: Path, *, device: torch.device | None = None) -> Self:
        """Load a classifier from its folder.

        Raises:
            ClassifierError: a file is missing or damaged, the files differ from those that were saved, a weight or the
                calibration is not a finite number, the genres are not distinct names, or this version does not support
                the format or the spectrogram recipe.
        """
        try:
            about = json.loads((folder / ABOUT).read_text())
            check_saved(about, folder)
            model = build(config_of(about["model"]))
            weights = load_file(folder / WEIGHTS)
            check_finite(weights)
            model.load_state_dict(weights)
            device = device or torch.device("cpu")
            model = model.to(memory_format=torch.channels_last).to(device).eval()
            kind = kinds.load(about["recipe"], folder, device)
            if kind.weights_sha256 != about.get("extractor_sha256", ""):
                raise ClassifierError("the pretrained weights are not those described in classifier.json")
            return cls(
                model,
                tuple(about["genres"]),
                Calibration(**about["calibration"]),
                about["origin"],
                about["sha256"],
                SelfCheck.load(folder / EXAMPLES, kind),
                SeenTracks.from_json((folder / TRACKS).read_text()) if (folder / TRACKS).exists() else None,
                about["versions"],
                kind,
            )
        except (OSError, ValueError, SafetensorError, PretrainedError) as error:
            raise ClassifierError(f"cannot load a classifier from {folder}: {error}") from error
        except (KeyError, TypeError, RuntimeError) as error:
            raise ClassifierError(f"cannot load a classifier from {folder}: {error!r}") from error

    def _named(self, row: NDArray[np.float32]) -> dict[str, float]:
        return dict(zip(self.genres, row.tolist(), strict=True))
