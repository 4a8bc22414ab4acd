"""The data that a model was trained on: synthetic sounds, real music or unknown."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from raygenre.evaluation.version_facts import VersionFacts
    from raygenre.model.classifier import Classifier


@dataclass(frozen=True)
class TrainingData:
    """The data that a model was trained on.

    Attributes:
        kind: `synthetic` for the built-in synthetic tracks, `real` for a data folder, `unknown` if it was not recorded.
        name: `synthetic`, or the name of the data folder without its path; empty if it was not recorded.
    """

    kind: Literal["synthetic", "real", "unknown"]
    name: str

    @classmethod
    def of(cls, classifier: "Classifier", facts: "VersionFacts | None") -> "TrainingData":
        """Return a classifier's training data; facts in the registry take precedence over the classifier's origin."""
        synthetic = facts.synthetic if facts else classifier.origin.get("synthetic")
        if synthetic is None:
            return cls("unknown", "")
        if synthetic:
            return cls("synthetic", "synthetic")
        return cls("real", Path(facts.data).name if facts else "")

    @property
    def is_synthetic(self) -> bool | None:
        """Whether the tracks were synthetic; None if unknown."""
        return None if self.kind == "unknown" else self.kind == "synthetic"

    @property
    def warning(self) -> str:
        """A warning about the training data for users of the model's predictions; empty if none is needed."""
        return "trained on synthetic sounds, not on music" if self.is_synthetic else ""
