"""A NAdam optimizer that does not import torch's compiler.

On their first call, some methods of `torch.optim.Optimizer` import `torch._dynamo` just to mark themselves as not
compilable. This costs 4 s of CPU time and 180 MB in every training process, for a compiler that this project does not
use.
"""

import inspect
from collections.abc import Callable, Iterable

import torch
from torch import Tensor


class NAdam(torch.optim.NAdam):
    """`torch.optim.NAdam` that cannot be compiled. It gives the same values, bit for bit."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        # `torch._disable_dynamo` checks this attribute before it imports the compiler. If a different version of torch
        # checks something else, the only effect is that the compiler is imported.
        for method in vars(torch.optim.Optimizer).values():
            if plain := getattr(method, "__wrapped__", None):
                plain.__dict__.setdefault("__dynamo_disable", plain)
        super().__init__(params, lr=lr)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update the parameters from their gradients."""
        undecorated: Callable[..., float | None] = inspect.unwrap(torch.optim.NAdam.step)
        return undecorated(self, closure)
