"""Names of the choices for training, such as optimizers. Imports no large library."""

from typing import Literal, get_args

AugmentationName = Literal["none", "erasing"]
OptimizerName = Literal["nadam", "adamw"]
PrecisionName = Literal["auto", "float32", "bfloat16"]
ScheduleName = Literal["constant", "cosine", "one-cycle"]

AUGMENTATIONS: tuple[AugmentationName, ...] = get_args(AugmentationName)
OPTIMIZERS: tuple[OptimizerName, ...] = get_args(OptimizerName)
PRECISIONS: tuple[PrecisionName, ...] = get_args(PrecisionName)
SCHEDULES: tuple[ScheduleName, ...] = get_args(ScheduleName)
