"""The GenreCNN network, and `Classifier`, a trained network ready for inference."""

from raygenre.model.classifier import Classifier

__all__ = ["Classifier"]
