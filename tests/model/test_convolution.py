import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from raygenre.model.convolution import Convolution, algorithm
from raygenre.model.network import GenreCNN, ModelConfig

CPU = torch.device("cpu")


def images(channels: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(2, channels, height, width, generator=generator)
    return values.contiguous(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("channels_in", "channels_out", "height", "width"),
    [(1, 6, 9, 14), (8, 6, 9, 14), (32, 5, 8, 12), (32, 5, 9, 15), (32, 7, 37, 18), (40, 64, 3, 2)],
)
def test_values_and_gradients_match_torch(
    channels_in: int, channels_out: int, height: int, width: int, bias: bool
) -> None:
    torch.manual_seed(0)
    layer = Convolution(channels_in, channels_out, bias=bias).train()
    batch = images(channels_in, height, width)
    inputs = [batch, *layer.parameters()]
    expected = F.conv2d(
        batch.double(), layer.weight.double(), None if layer.bias is None else layer.bias.double(), 1, 1
    )
    direction = torch.randn(expected.shape)
    exact = torch.autograd.grad(expected, inputs, direction.double())
    output = layer(batch)
    assert output.shape == expected.shape
    assert (output - expected).abs().max() < 3e-5 * expected.abs().max()
    for ours, theirs in zip(torch.autograd.grad(output, inputs, direction), exact, strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() < 3e-5 * theirs.abs().max()


def test_both_memory_formats_give_the_same_result() -> None:
    layer = Convolution(32, 5).train()
    batch = images(32, 9, 15)
    assert torch.allclose(layer(batch.contiguous()), layer(batch), atol=1e-6)


def test_only_float32_training_on_a_cpu_uses_winograd() -> None:
    layer, batch = Convolution(32, 4), images(32, 8, 8)
    assert type(layer.train()(batch).grad_fn).__name__ == "WinogradBackward"
    assert type(layer.eval()(batch).grad_fn).__name__ == "ConvolutionBackward0"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert type(layer.train()(batch).grad_fn).__name__ == "ConvolutionBackward0"
    assert algorithm(CPU, bfloat16=False) == "winograd"
    assert algorithm(CPU, bfloat16=True) == "direct"
    assert algorithm(torch.device("cuda"), bfloat16=False) == "direct"


def test_gradients_are_deterministic() -> None:
    levels = torch.randint(0, 256, (2, 128, 333), dtype=torch.uint8)
    model = GenreCNN(ModelConfig(widths=(32, 8, 8), dropout=0.0)).train()

    def gradients() -> tuple[Tensor, ...]:
        return torch.autograd.grad(model(levels).square().sum(), list(model.parameters()))

    first, second = gradients(), gradients()
    assert all(map(torch.equal, first, second))
