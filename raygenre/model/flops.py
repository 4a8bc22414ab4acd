"""Count a network's floating-point operations per track from its dimensions.

torch's `FlopCounterMode` gives the same number but imports torch's compiler, which takes several seconds.
"""

from raygenre.model.network import ModelConfig
from raygenre.spectrogram.levels import COLUMNS, N_MELS

_KERNEL = 3 * 3  # weights per filter for each input channel


def flops(config: ModelConfig) -> int:
    """Return the number of operations in all convolutions and dense layers; a multiply-add counts as two."""
    rows, columns, channels = N_MELS, COLUMNS, 1
    multiplications = 0
    for width in config.widths:
        multiplications += _KERNEL * channels * width * rows * columns
        rows, columns, channels = rows // 2, columns // 2, width  # max pooling halves both axes
    multiplications += channels * config.frequency_bins * config.dense + config.dense * config.genres
    return 2 * multiplications
