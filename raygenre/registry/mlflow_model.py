"""Saves a Classifier folder as an MLflow model, with a pyfunc that loads it."""

from importlib.metadata import version as installed_version
from pathlib import Path

import mlflow
import pandas as pd
import torch
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from raygenre import audio, spectrogram
from raygenre.audio.encoding import encode
from raygenre.inputs.kind import InputKind
from raygenre.model.classifier import Classifier

_REQUIREMENTS = ("av", "mlflow", "numpy", "pandas", "pillow", "safetensors", "soxr", "torch")


def save_pyfunc(folder: Path, target: Path) -> None:
    """Write an MLflow model to `target`: the Classifier folder, the pyfunc, and a copy of this package's code."""
    outputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.string, "genre"), ColSpec(DataType.double, "confidence")]
    outputs += [ColSpec(DataType.boolean, "uncertain")]
    classifier = Classifier.load(folder)
    outputs += [ColSpec(DataType.double, name) for name in classifier.genres]
    mlflow.pyfunc.save_model(
        target,
        python_model=str(Path(__file__).with_name("pyfunc.py")),
        artifacts={"classifier": str(folder)},
        code_paths=[str(Path(__file__).parents[1])],
        signature=ModelSignature(Schema([ColSpec(DataType.binary, "file")]), Schema(outputs)),
        input_example=_example(classifier.input),
        pip_requirements=[f"{name}=={installed_version(name)}" for name in _REQUIREMENTS],
    )


def _example(kind: InputKind) -> pd.DataFrame:
    """Return a model's input example: a click, as a PNG spectrogram if the model accepts images, otherwise as FLAC."""
    samples = torch.zeros(audio.SAMPLE_RATE * 30)
    samples[len(samples) // 2] = 1
    if kind.takes_images:
        return pd.DataFrame({"file": [spectrogram.write_png(spectrogram.levels(samples).numpy())]})
    return pd.DataFrame({"file": [encode(samples.numpy(), "flac", "flac", rate=audio.SAMPLE_RATE)]})
