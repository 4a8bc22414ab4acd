"""The network, and a trained one with all that it takes to answer: a Classifier."""

from raygenre.model.classifier import Classifier

__all__ = ["Classifier"]
