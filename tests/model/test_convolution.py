import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from raygenre.model.convolution import Convolution, algorithm
from raygenre.model.network import GenreCNN, ModelConfig

CPU = torch.device("cpu")


def images(channels: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    made = torch.randn(2, channels, height, width, generator=generator)
    return made.contiguous(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("channels_in", "channels_out", "height", "width"),
    [(1, 6, 9, 14), (8, 6, 9, 14), (32, 5, 8, 12), (32, 5, 9, 15), (40, 64, 3, 2)],
)
def test_values_and_gradients_are_those_of_torchs_convolution(
    channels_in: int, channels_out: int, height: int, width: int, bias: bool
) -> None:
    torch.manual_seed(0)
    layer = Convolution(channels_in, channels_out, bias=bias).train()
    given = images(channels_in, height, width)
    inputs = [given, *layer.parameters()]
    expected = F.conv2d(
        given.double(), layer.weight.double(), None if layer.bias is None else layer.bias.double(), 1, 1
    )
    towards = torch.randn(expected.shape)
    exact = torch.autograd.grad(expected, inputs, towards.double())
    found = layer(given)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 3e-5 * expected.abs().max()
    for ours, theirs in zip(torch.autograd.grad(found, inputs, towards), exact, strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() < 3e-5 * theirs.abs().max()


def test_images_in_nchw_give_the_same_answers() -> None:
    layer = Convolution(32, 5).train()
    given = images(32, 9, 15)
    assert torch.allclose(layer(given.contiguous()), layer(given), atol=1e-6)


def test_training_in_float32_on_a_cpu_is_by_winograd_and_all_else_is_direct() -> None:
    layer, given = Convolution(32, 4), images(32, 8, 8)
    assert type(layer.train()(given).grad_fn).__name__ == "_WinogradBackward"
    assert type(layer.eval()(given).grad_fn).__name__ == "ConvolutionBackward0"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert type(layer.train()(given).grad_fn).__name__ == "ConvolutionBackward0"
    assert algorithm(CPU, bfloat16=False) == "winograd"
    assert algorithm(CPU, bfloat16=True) == "direct"
    assert algorithm(torch.device("cuda"), bfloat16=False) == "direct"


def test_a_gradient_is_the_same_bit_for_bit_each_time() -> None:
    levels = torch.randint(0, 256, (2, 128, 333), dtype=torch.uint8)
    model = GenreCNN(ModelConfig(widths=(32, 8, 8), dropout=0.0)).train()

    def gradients() -> tuple[Tensor, ...]:
        return torch.autograd.grad(model(levels).square().sum(), list(model.parameters()))

    first, second = gradients(), gradients()
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
