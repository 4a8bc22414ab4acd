"""3×3 convolutions with fast float32 training on CPUs.

In bfloat16, on a GPU or in evaluation mode, `Convolution` behaves exactly like torch's `Conv2d`. For float32 training
on a CPU, two faster algorithms compute the same values and gradients, up to rounding errors (about 5e-6 of the largest
value):

- Many input channels: Winograd's algorithm, in `raygenre.model.winograd`.
- A single input channel: the weight gradient is a single matrix product, four times faster than oneDNN's AVX2 kernel.

Shapes: B tracks in a batch, C input channels, K output channels, H × W positions.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

from raygenre.model.winograd import Winograd

# With fewer channels, the transforms take more time than the products save.
_WINOGRAD_CHANNELS = 32


def algorithm(device: torch.device, *, bfloat16: bool) -> Literal["winograd", "direct"]:
    """Return the algorithm used to train convolutions on a device in bfloat16 or float32."""
    return "winograd" if device.type == "cpu" and not bfloat16 else "direct"


class Convolution(nn.Conv2d):
    """A 3×3 convolution with padding 1: (B, C, H, W) → (B, K, H, W); parameters as in `nn.Conv2d`."""

    def __init__(self, channels_in: int, channels_out: int, *, bias: bool = True) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1, bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        """Convolve images; the channels_last memory format is fastest."""
        device = images.device
        direct = algorithm(device, bfloat16=torch.is_autocast_enabled(device.type)) == "direct"
        if not self.training or direct or 1 < self.in_channels < _WINOGRAD_CHANNELS:
            return super().forward(images)
        function = _OneChannel if self.in_channels == 1 else Winograd
        bias = images.new_zeros(self.out_channels) if self.bias is None else self.bias
        result: Tensor = function.apply(images, self.weight, bias)
        return result


class _OneChannel(torch.autograd.Function):
    """A convolution with a single input channel; its weight gradient is a single matrix product."""

    @staticmethod
    def forward(ctx: FunctionCtx, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(images, weight)
        return F.conv2d(images, weight, bias, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        images, weight = ctx.saved_tensors
        batch, _, height, width = images.shape
        padded = F.pad(images, (1, 1, 1, 1)).contiguous()
        track, _, row, column = padded.stride()
        shifted = padded.as_strided((3, 3, batch, height, width), (row, column, track, row, column)).reshape(9, -1)
        rows = gradient.permute(0, 2, 3, 1).reshape(-1, len(weight))  # (B·H·W, K)
        to_images = conv2d_input(images.shape, weight, gradient, padding=1) if ctx.needs_input_grad[0] else None
        return to_images, (shifted @ rows).T.reshape(weight.shape), rows.sum(dim=0)
