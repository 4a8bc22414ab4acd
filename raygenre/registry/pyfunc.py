"""A registered model as MLflow users load it: `mlflow.pyfunc.load_model("models:/raygenre@champion")`.

MLflow stores this file with the model and runs it when the model is loaded. raygenre's own commands and endpoint do
not: they read the classifier's files beside it, and run no code from a registry.

Input: a table with a column `file`, the bytes of one dataset-style PNG or audio file a row. Output: a table with the
columns `genre`, `confidence`, `uncertain` and a probability for each genre.
"""

from pathlib import Path

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from raygenre.model.classifier import Classifier
from raygenre.spectrogram.song import read

_ANSWER = ("genre", "confidence", "uncertain")


class GenreModel(PythonModel):
    """The classifier behind MLflow's interface."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the classifier stored with the model."""
        self.classifier = Classifier.load(Path(context.artifacts["classifier"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, str] | None = None
    ) -> pd.DataFrame:
        """Classify the files in the column `file`.

        Raises:
            ValueError: a file is neither a dataset-style PNG nor audio that can be used.
        """
        rows = []
        for data in model_input["file"]:
            prediction = self.classifier.predict(read(bytes(data)))
            answer = {name: getattr(prediction, name) for name in _ANSWER}
            rows.append({**answer, **prediction.probabilities})
        return pd.DataFrame(rows, columns=[*_ANSWER, *self.classifier.genres])


mlflow.models.set_model(GenreModel())
