"""3×3 convolutions by Winograd's F(4×4, 3×3), for float32 training on CPUs.

The output is divided into 4×4 tiles, and each tile is computed from 6×6 inputs d and the kernel g as
Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A (A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks, 2015). Summed over
the channels, ⊙ becomes a matrix product for each of 36 positions, with 36 multiplications per tile instead of 144. Both
gradients use the same products, transposed.

Each matrix is applied to one axis at a time. A track is processed in strips of a few rows of tiles, whose values stay
in the CPU cache.

Shapes: B tracks in a batch, C input channels, K output channels, H × W positions, R rows of tiles in a strip, A tiles
in a row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_TILE = 4
_PATCH = _TILE + 2
_STRIP_TILES = 160  # minimum number of tiles in a strip, unless the image has fewer

# Lavin and Gray's matrices for the points 0, ±1, ±2 and infinity.
_B_T = torch.tensor(
    [
        [4.0, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_G = torch.tensor(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
_A_T = torch.tensor([[1.0, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
_A, _B = _A_T.T.contiguous(), _B_T.T.contiguous()
_G_BOTH = torch.kron(_G.double(), _G.double()).float()  # applies G to both axes of a flattened kernel


@dataclass(frozen=True)
class _Grid:
    """How the output of a convolution is divided.

    Attributes:
        strips: number of strips in a track.
        down: number of rows of tiles in a strip.
        across: number of tiles in a row.
    """

    strips: int
    down: int
    across: int

    @classmethod
    def of(cls, height: int, width: int) -> "_Grid":
        rows, across = -(-height // _TILE), -(-width // _TILE)
        strips = -(-rows // -(-_STRIP_TILES // across))
        return cls(strips, -(-rows // strips), across)

    @property
    def height(self) -> int:
        """Height of all tiles of a track."""
        return self.strips * self.down * _TILE

    @property
    def width(self) -> int:
        """Width of a row of tiles."""
        return self.across * _TILE

    @property
    def tiles_per_strip(self) -> int:
        return self.down * self.across

    def inputs(self, padded: Tensor) -> Iterator[Tensor]:
        """Yield the input rows (4·R + 2, ...) of each strip of padded images (B, height + 2, ...)."""
        rows = self.down * _TILE
        for track in padded:
            for top in range(0, self.height, rows):
                yield track[top : top + rows + 2]

    def tiles(self, images: Tensor) -> Tensor:
        """View images (B, height, width, K) as the tiles (B·strips, 4, 4, R, A, K) of each strip, column by column."""
        strips = images.view(-1, self.down, _TILE, self.across, _TILE, images.shape[-1])
        return strips.permute(0, 4, 2, 1, 3, 5)


class Winograd(torch.autograd.Function):
    """A 3×3 convolution with padding 1 in float32."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Convolve images (B, C, H, W) with a weight (K, C, 3, 3) and a bias (K,) → (B, K, H, W)."""
        batch, channels_in, height, width = images.shape
        channels_out = len(weight)
        grid = _Grid.of(height, width)
        kernels = (_G_BOTH @ weight.permute(3, 2, 1, 0).reshape(9, -1)).view(_PATCH**2, channels_in, -1)
        right, below = grid.width + 1 - width, grid.height + 1 - height
        padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, 1, right, 1, below)).flatten(2).contiguous()
        output = images.new_empty(batch, grid.height, grid.width, channels_out)
        # The strips share these tensors: newly allocated memory would not be in the cache.
        row = padded.shape[2]  # values
        lines = images.new_empty(_PATCH, grid.down, row)
        overlapping = lines.as_strided(
            (_PATCH, _PATCH, grid.down, grid.across, channels_in),
            (channels_in, grid.down * row, row, _TILE * channels_in, 1),
        )
        columns = images.new_empty(overlapping.shape)
        patches = images.new_empty(batch * grid.strips, _PATCH**2, grid.tiles_per_strip, channels_in)
        products = images.new_empty(_PATCH**2, grid.tiles_per_strip, channels_out)
        half = images.new_empty(_TILE, _PATCH, products[0].numel())
        result = images.new_empty(_TILE, _TILE, products[0].numel())
        for rows, patch, tiles in zip(grid.inputs(padded), patches, grid.tiles(output), strict=True):
            for number in range(grid.down):
                torch.mm(_B_T, rows[_TILE * number :][:_PATCH], out=lines[:, number])
            columns.copy_(overlapping)
            torch.mm(_B_T, columns.view(_PATCH, -1), out=patch.view(_PATCH, -1))
            torch.bmm(patch, kernels, out=products)
            torch.mm(_A_T, products.view(_PATCH, -1), out=half.view(_TILE, -1))
            torch.bmm(_A_T.expand(_TILE, -1, -1), half, out=result)
            torch.add(result.view(tiles.shape), bias, out=tiles)
        ctx.save_for_backward(kernels, patches)
        ctx.grid, ctx.shape = grid, images.shape
        return output[:, :height, :width].permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of the images, the weight and the bias."""
        kernels, patches = ctx.saved_tensors
        grid: _Grid = ctx.grid
        batch, channels_in, height, width = ctx.shape
        channels_out = kernels.shape[-1]
        right, below = grid.width - width, grid.height - height
        whole = F.pad(gradient.permute(0, 2, 3, 1), (0, 0, 0, right, 0, below)).contiguous()
        transposed = kernels.transpose(1, 2).contiguous()
        to_kernels = torch.zeros_like(kernels)
        to_padded = gradient.new_zeros(batch, grid.height + 2, (grid.width + _TILE) * channels_in)
        to_products = gradient.new_empty(_PATCH**2, grid.tiles_per_strip, channels_out)
        half = gradient.new_empty(_PATCH, _TILE, to_products[0].numel())
        to_patch = torch.empty_like(patches[0])
        to_columns = gradient.new_empty(_PATCH, _PATCH, grid.down, grid.across, channels_in)
        to_lines = gradient.new_zeros(_PATCH, grid.down, grid.across + 1, _TILE, channels_in)
        overlapping = to_lines.permute(3, 0, 1, 2, 4)
        for rows, patch, tiles in zip(grid.inputs(to_padded), patches, grid.tiles(whole), strict=True):
            torch.mm(_A, tiles.reshape(_TILE, -1), out=half.view(_PATCH, -1))
            torch.bmm(_A.expand(_PATCH, -1, -1), half, out=to_products.view(_PATCH, _PATCH, -1))
            to_kernels.baddbmm_(patch.transpose(1, 2), to_products)
            torch.bmm(to_products, transposed, out=to_patch)
            torch.mm(_B, to_patch.view(_PATCH, -1), out=to_columns.view(_PATCH, -1))
            # Neighbouring patches overlap by two columns or rows.
            overlapping[..., :-1, :] = to_columns[:_TILE]
            overlapping[: _PATCH - _TILE, ..., -1, :] = 0
            overlapping[: _PATCH - _TILE, ..., 1:, :] += to_columns[_TILE:]
            for number in range(grid.down):
                rows[_TILE * number :][:_PATCH].addmm_(_B, to_lines[:, number].view(_PATCH, -1))
        to_weight = (_G_BOTH.T @ to_kernels.view(_PATCH**2, -1)).view(3, 3, channels_in, -1)
        unpadded = to_padded.unflatten(2, (-1, channels_in))[:, 1 : height + 1, 1 : width + 1]
        return unpadded.permute(0, 3, 1, 2), to_weight.permute(3, 2, 1, 0), gradient.sum(dim=(0, 2, 3))
