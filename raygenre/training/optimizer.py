"""NAdam and AdamW optimizers that do not import torch's compiler.

On their first call, some methods of `torch.optim.Optimizer` import `torch._dynamo` just to mark themselves as not
compilable. This costs 4 s of CPU time and 180 MB of memory in every training process, for a compiler that this project
does not use.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from raygenre.training.config import TrainingConfig


class NAdam(torch.optim.NAdam):
    """A variant of `torch.optim.NAdam` that cannot be compiled. It produces the same values, bit for bit."""

    def __init__(self, *args: Any, **options: Any) -> None:
        _disable_compiler()
        super().__init__(*args, **options)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update the parameters from their gradients."""
        undecorated: Callable[..., float | None] = inspect.unwrap(torch.optim.NAdam.step)
        return undecorated(self, closure)


class AdamW(torch.optim.AdamW):
    """A variant of `torch.optim.AdamW` that cannot be compiled. It produces the same values, bit for bit."""

    def __init__(self, *args: Any, **options: Any) -> None:
        _disable_compiler()
        super().__init__(*args, **options)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update the parameters from their gradients."""
        undecorated: Callable[..., float | None] = inspect.unwrap(torch.optim.Adam.step)
        return undecorated(self, closure)


def make_optimizer(model: nn.Module, config: TrainingConfig) -> NAdam | AdamW:
    """Return the optimizer for a network; weight decay applies only to the weights of convolutions and dense layers."""
    parameters = list(model.parameters())
    groups: list[dict[str, Any]] = [{"params": parameters}]
    if config.weight_decay:
        groups = [
            {"params": [parameter for parameter in parameters if parameter.ndim > 1]},
            {"params": [parameter for parameter in parameters if parameter.ndim == 1], "weight_decay": 0.0},
        ]
    options = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.optimizer == "adamw":
        return AdamW(groups, **options)
    return NAdam(groups, decoupled_weight_decay=True, **options)


def _disable_compiler() -> None:
    # `torch._disable_dynamo` checks this attribute before it imports the compiler. If a different version of torch
    # checks something else, the only effect is that the compiler is imported.
    for method in vars(torch.optim.Optimizer).values():
        if plain := getattr(method, "__wrapped__", None):
            plain.__dict__.setdefault("__dynamo_disable", plain)
