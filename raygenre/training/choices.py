"""Names of the supported augmentations and precisions. Imports no large library."""

from typing import Literal, get_args

AugmentationName = Literal["none", "erasing"]
PrecisionName = Literal["auto", "float32", "bfloat16"]

AUGMENTATIONS: tuple[AugmentationName, ...] = get_args(AugmentationName)
PRECISIONS: tuple[PrecisionName, ...] = get_args(PrecisionName)
