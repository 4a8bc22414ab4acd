"""NAdam as torch has it, without importing torch's compiler.

The first call of some methods of `torch.optim.Optimizer` imports `torch._dynamo`, only to tell it not to compile them:
4 s of CPU time and 180 MB in every process that trains, for a compiler that nothing here uses.
"""

import inspect
from collections.abc import Callable, Iterable

import torch
from torch import Tensor


class NAdam(torch.optim.NAdam):
    """`torch.optim.NAdam`, the same values bit for bit; it cannot be compiled."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        # `torch._disable_dynamo` looks for this mark before it imports the compiler. Where another version of torch
        # looks for something else, the compiler is imported, and nothing else is different.
        for method in vars(torch.optim.Optimizer).values():
            if plain := getattr(method, "__wrapped__", None):
                plain.__dict__.setdefault("__dynamo_disable", plain)
        super().__init__(params, lr=lr)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Change the parameters by their gradients."""
        undecorated: Callable[..., float | None] = inspect.unwrap(torch.optim.NAdam.step)
        return undecorated(self, closure)
