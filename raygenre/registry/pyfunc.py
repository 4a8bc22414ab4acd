"""The pyfunc of a registered model, for `mlflow.pyfunc.load_model`.

MLflow stores this file with the model and executes it when the model is loaded. raygenre's own commands and endpoint
read only the classifier's files next to it and execute no code from a registry.

Input: a DataFrame whose `file` column contains the bytes of audio files or of PNGs like those in the dataset; a model
that uses pretrained features accepts only audio. Output: a DataFrame with the columns `genre`, `confidence`,
`uncertain`, and one column per genre with its probability.
"""

from pathlib import Path

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from raygenre.audio import LONGEST_SECONDS
from raygenre.model.classifier import Classifier

_COLUMNS = ("genre", "confidence", "uncertain")


class GenreModel(PythonModel):
    """A classifier with MLflow's Python model interface."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the classifier stored with the model."""
        self.classifier = Classifier.load(Path(context.artifacts["classifier"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, str] | None = None
    ) -> pd.DataFrame:
        """Classify the files in the `file` column.

        Raises:
            ValueError: a file is neither usable audio nor, if the model accepts images, a PNG like those in the
                dataset.
        """
        rows = []
        for data in model_input["file"]:
            prediction = self.classifier.predict(
                self.classifier.input.read(bytes(data), longest_seconds=LONGEST_SECONDS)
            )
            row = {name: getattr(prediction, name) for name in _COLUMNS}
            rows.append({**row, **prediction.probabilities})
        return pd.DataFrame(rows, columns=[*_COLUMNS, *self.classifier.genres])


mlflow.models.set_model(GenreModel())
