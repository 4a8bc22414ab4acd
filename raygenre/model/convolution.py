"""3×3 convolutions with fast float32 training on CPUs.

In bfloat16, on a GPU or in evaluation mode, `Convolution` behaves exactly like torch's `Conv2d`. For float32 training
on a CPU, two faster algorithms compute the same values and gradients, up to rounding errors (about 5e-6 of the largest
value):

- Many input channels: Winograd's F(4×4, 3×3) (A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks,
  2015). The output is divided into 4×4 tiles, and each is computed from 6×6 inputs d and the kernel g as
  Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A. Summed over the channels, ⊙ becomes a matrix product for each of 36 positions, with 36
  multiplications per tile instead of 144. Both gradients use the same products, transposed.
- A single input channel: the weight gradient is a single matrix product, four times faster than oneDNN's AVX2 kernel.

Shapes: B tracks in a batch, C input channels, K output channels, H × W positions, P tiles per track.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

# With fewer channels, the transforms take more time than the products save.
_WINOGRAD_CHANNELS = 32
_TILE = 4
_PATCH = _TILE + 2


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
        function = _OneChannel if self.in_channels == 1 else _Winograd
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


class _Winograd(torch.autograd.Function):
    """Winograd's F(4×4, 3×3), applied to each track separately to keep its data in the CPU cache."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        batch, channels_in, height, width = images.shape
        channels_out = len(weight)
        down, across = -(-height // _TILE), -(-width // _TILE)  # tiles
        kernels = (_G @ weight.permute(2, 3, 1, 0).reshape(9, -1)).view(-1, channels_in, channels_out)
        right, below = across * _TILE + 1 - width, down * _TILE + 1 - height
        padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, 1, right, 1, below)).contiguous()
        row, column = padded.stride()[1:3]
        overlapping = (_PATCH, _PATCH, down, across, channels_in), (row, column, _TILE * row, _TILE * column, 1)
        output = images.new_empty(batch, down * _TILE, across * _TILE, channels_out)
        patches = []
        for track, tiles in zip(padded, _tiled(output), strict=True):
            patch = track.as_strided(*overlapping).reshape(_PATCH**2, -1)
            patches.append((_B_T @ patch).view(_PATCH**2, -1, channels_in))  # (36, P, C)
            products = torch.bmm(patches[-1], kernels)  # (36, P, K)
            torch.add((_A_T @ products.view(_PATCH**2, -1)).view_as(tiles), bias, out=tiles)
        ctx.save_for_backward(kernels, *patches)
        ctx.shape = images.shape
        return output[:, :height, :width].permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        kernels, *patches = ctx.saved_tensors
        batch, channels_in, height, width = ctx.shape
        channels_out = kernels.shape[-1]
        down, across = -(-height // _TILE), -(-width // _TILE)
        right, below = across * _TILE - width, down * _TILE - height
        whole = F.pad(gradient.permute(0, 2, 3, 1), (0, 0, 0, right, 0, below)).contiguous()
        transposed = kernels.transpose(1, 2).contiguous()
        to_kernels = torch.zeros_like(kernels)
        to_padded = gradient.new_zeros(batch, (down + 1) * _TILE, (across + 1) * _TILE, channels_in)
        for patch, tiles, sums in zip(patches, _tiled(whole), _tiled(to_padded), strict=True):
            to_products = (_A @ tiles.reshape(_TILE**2, -1)).view(_PATCH**2, -1, channels_out)  # (36, P, K)
            to_kernels.baddbmm_(patch.transpose(1, 2), to_products)
            to_patch = _B @ torch.bmm(to_products, transposed).view(_PATCH**2, -1)
            _add_overlapping(sums, to_patch.view(_PATCH, _PATCH, down, across, channels_in))
        to_weight = (_G.T @ to_kernels.view(_PATCH**2, -1)).view(3, 3, channels_in, channels_out)
        to_images = to_padded[:, 1 : height + 1, 1 : width + 1].permute(0, 3, 1, 2)
        return to_images, to_weight.permute(3, 2, 0, 1), gradient.sum(dim=(0, 2, 3))


def _tiled(images: Tensor) -> Tensor:
    """View images (B, 4·down, 4·across, C) as tiles (B, 4, 4, down, across, C)."""
    batch, height, width, channels = images.shape
    tiles = images.view(batch, height // _TILE, _TILE, width // _TILE, _TILE, channels)
    return tiles.permute(0, 2, 4, 1, 3, 5)


def _add_overlapping(tiles: Tensor, patches: Tensor) -> None:
    """Add patches (6, 6, down, across, C) that overlap by two positions to tiles (4, 4, down + 1, across + 1, C)."""
    over = _PATCH - _TILE
    tiles[:, :, :-1, :-1] = patches[:_TILE, :_TILE]
    tiles[:over, :, 1:, :-1] += patches[_TILE:, :_TILE]
    tiles[:, :over, :-1, 1:] += patches[:_TILE, _TILE:]
    tiles[:over, :over, 1:, 1:] += patches[_TILE:, _TILE:]


def _for_both_axes(rows: list[list[float]]) -> Tensor:
    """Return the matrix that applies `rows` to both axes of a flattened square."""
    matrix = torch.tensor(rows, dtype=torch.float64)
    return torch.kron(matrix, matrix).float()


# Lavin and Gray's matrices for the points 0, ±1, ±2 and infinity.
_B_T = _for_both_axes(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_G = _for_both_axes(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
_A_T = _for_both_axes([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
_A, _B = _A_T.T.contiguous(), _B_T.T.contiguous()
