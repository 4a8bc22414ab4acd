"""The settings of a training run: optimizer, schedule, regularisation and augmentation."""

import math
from dataclasses import dataclass

from raygenre.training.choices import (
    AUGMENTATIONS,
    OPTIMIZERS,
    PRECISIONS,
    SCHEDULES,
    AugmentationName,
    OptimizerName,
    PrecisionName,
    ScheduleName,
)

_WARM_UP = 0.3  # share of a one-cycle schedule in which the learning rate rises
_START = 1 / 25  # learning rate at the start of a one-cycle schedule, as a share of its maximum


@dataclass(frozen=True)
class TrainingConfig:
    """Settings for training a GenreCNN. With the defaults, training is the same as for the project's first network.

    Attributes:
        learning_rate: the optimizer's maximum learning rate.
        decay: how fast the learning rate falls: in epoch e, counted from 0, it is divided by 1 + decay·e.
        batch_size: number of tracks per optimizer step.
        augmentation: `none`, or `erasing`, which sets a random rectangle to 0 in about half of the tracks.
        precision: `auto` uses bfloat16 on hardware with fast bfloat16 arithmetic, and float32 elsewhere.
        optimizer: `nadam` or `adamw`.
        weight_decay: decoupled weight decay of convolutions and dense layers, but not of biases and normalisation.
        schedule: how the learning rate changes from step to step, in addition to `decay`. `cosine` lowers it to 0 over
            all epochs. `one-cycle` first raises it over 30 % of the steps (L. N. Smith and N. Topin, Super-Convergence,
            2018).
        label_smoothing: share of the target probability that is spread over all genres.
        mixup: parameter α of the Beta distribution from which the weights of mixed pairs of tracks are drawn; 0
            disables mixup (H. Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018).
        masks: number of random masks over mel bands, and of random masks over columns, in every track (D. S. Park et
            al., SpecAugment, 2019).
        distortion: strength of random changes of pitch, tempo, loudness and frequency response, see
            `raygenre.training.augmentation.distort`; 0 disables them.
        averaging: decay per step of the exponential moving average of the weights. The averaged network is validated
            and saved; 0 disables averaging.
        crops: number of random crops of each track per epoch, for networks with `crop_columns`.
    """

    learning_rate: float = 1e-3
    decay: float = 0.01
    batch_size: int = 16
    augmentation: AugmentationName = "none"
    precision: PrecisionName = "auto"
    optimizer: OptimizerName = "nadam"
    weight_decay: float = 0.0
    schedule: ScheduleName = "constant"
    label_smoothing: float = 0.0
    mixup: float = 0.0
    masks: int = 0
    distortion: float = 0.0
    averaging: float = 0.0
    crops: int = 1

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, not {self.learning_rate}")
        for name in ("batch_size", "crops"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("decay", "weight_decay", "mixup", "masks", "distortion"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}")
        for name in ("label_smoothing", "averaging"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 to below 1, not {getattr(self, name)}")
        for name, choices in (
            ("augmentation", AUGMENTATIONS),
            ("precision", PRECISIONS),
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
        ):
            if getattr(self, name) not in choices:
                *others, last = choices
                raise ValueError(f"{name} must be {', '.join(others)} or {last}, not {getattr(self, name)!r}")

    @property
    def uses_last_epoch(self) -> bool:
        """Whether the network after the last epoch is used, instead of the one with the lowest validation loss.

        This is the case if a schedule lowers the learning rate to 0. The accuracy then rises until the end, while the
        validation loss may rise again because the network becomes overconfident, which calibration corrects.
        """
        return self.schedule != "constant"

    def learning_rate_at(self, progress: float, epoch: int) -> float:
        """Return the learning rate of a step.

        Args:
            progress: share of all steps that come before this one, at least 0 and less than 1.
            epoch: number of completed epochs.
        """
        decayed = self.learning_rate / (1 + self.decay * epoch)
        if self.schedule == "cosine":
            return decayed * _falling(progress)
        if self.schedule == "one-cycle":
            if progress < _WARM_UP:
                return decayed * (1 - (1 - _START) * _falling(progress / _WARM_UP))
            return decayed * _falling((progress - _WARM_UP) / (1 - _WARM_UP))
        return decayed


def _falling(progress: float) -> float:
    """Return the value of a half-period of a cosine that falls from 1 to 0."""
    return (1 + math.cos(math.pi * progress)) / 2
