"""The networks that can be trained on each kind of input: spectrograms or features."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raygenre.model.head import GenreHead, HeadConfig
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.spectrogram.levels import COLUMNS, N_MELS

Network = GenreCNN | GenreHead
NetworkConfig = ModelConfig | HeadConfig


def build(config: NetworkConfig) -> Network:
    """Return an untrained network."""
    return GenreHead(config) if isinstance(config, HeadConfig) else GenreCNN(config)


def config_of(fields: Mapping[str, Any]) -> NetworkConfig:
    """Restore a network's configuration from its fields in JSON.

    Raises:
        KeyError, TypeError, ValueError: the fields are not a valid configuration.
    """
    if fields.get("network") == "head":
        return HeadConfig(**fields)
    return ModelConfig(**{**fields, "widths": tuple(fields["widths"])})


def silence(config: NetworkConfig) -> NDArray[Any]:
    """Return an all-zero input for one track: (1, *shape)."""
    if isinstance(config, HeadConfig):
        return np.zeros((1, config.features), dtype=np.float32)
    return np.zeros((1, N_MELS, COLUMNS), dtype=np.uint8)


def needs_whole_batches(config: NetworkConfig) -> bool:
    """Return whether a training batch must stay whole because the network normalises by batch statistics."""
    return isinstance(config, HeadConfig) or config.normalisation == "batch"
