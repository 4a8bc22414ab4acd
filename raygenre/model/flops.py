"""How much work a network does: floating-point operations to classify one track.

They follow from the network's dimensions. torch's `FlopCounterMode` finds the same number, and imports torch's compiler
for it, which takes seconds.
"""

from raygenre.model.network import ModelConfig
from raygenre.spectrogram.levels import COLUMNS, N_MELS

_KERNEL = 3 * 3  # weights of a filter per input channel


def flops(config: ModelConfig) -> int:
    """Return the operations of the convolutions and dense layers; a multiplication and an addition count as two."""
    rows, columns, channels = N_MELS, COLUMNS, 1
    multiplications = 0
    for width in config.widths:
        multiplications += _KERNEL * channels * width * rows * columns
        rows, columns, channels = rows // 2, columns // 2, width  # the pooling that follows halves both axes
    multiplications += channels * config.frequency_bins * config.dense + config.dense * config.genres
    return 2 * multiplications
