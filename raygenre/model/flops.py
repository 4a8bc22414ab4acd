"""Count a network's floating-point operations per track from its dimensions.

torch's `FlopCounterMode` yields the same number but imports torch's compiler, which takes several seconds.
"""

from raygenre.model.head import HeadConfig
from raygenre.model.networks import NetworkConfig
from raygenre.spectrogram.levels import N_MELS


def flops(config: NetworkConfig) -> int:
    """Return the number of operations in all convolutions and dense layers; a multiply-add counts as two."""
    if isinstance(config, HeadConfig):
        return 2 * (config.features * config.dense + config.dense * config.genres)
    rows, columns, channels = N_MELS, config.crop_columns, 1
    multiplications = 0
    for number, width in enumerate(config.widths):
        kernel = 3 * 3
        if number == 0 and config.stem == "strided":
            kernel = 5 * 5
            rows, columns = -(-rows // 2), -(-columns // 2)  # the stride halves both axes before the products
        multiplications += kernel * channels * width * rows * columns
        if number > 0 or config.stem == "plain":
            rows, columns = rows // 2, columns // 2  # max pooling halves both axes
        channels = width
    multiplications += channels * config.frequency_bins * config.dense + config.dense * config.genres
    return 2 * multiplications * len(config.crop_starts)
