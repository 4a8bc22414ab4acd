import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.training.config import TrainingConfig
from raygenre.training.optimizer import AdamW, NAdam, make_optimizer


def trained(kind: type[torch.optim.Optimizer]) -> list[Tensor]:
    torch.manual_seed(0)
    layer = nn.Linear(5, 3)
    optimizer = kind(layer.parameters(), lr=1e-2)  # type: ignore[call-arg]
    for _ in range(20):
        optimizer.zero_grad()
        torch.autograd.backward(layer(torch.ones(2, 5)).pow(2).sum())
        optimizer.step()
    return [parameter.detach() for parameter in layer.parameters()]


@pytest.mark.parametrize(("ours", "theirs"), [(NAdam, torch.optim.NAdam), (AdamW, torch.optim.AdamW)])
def test_parameters_equal_those_of_torchs_optimizer(
    ours: type[torch.optim.Optimizer], theirs: type[torch.optim.Optimizer]
) -> None:
    for own, expected in zip(trained(ours), trained(theirs), strict=True):
        assert torch.equal(own, expected)


@pytest.mark.parametrize("name", ["NAdam", "AdamW"])
def test_optimizer_does_not_import_torchs_compiler(name: str) -> None:
    script = f"import sys; from tests.training.test_optimizer import {name}, trained; trained({name}); "
    script += "print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert f"torch.optim.{name.lower()}" in modules
    assert "torch._dynamo" not in modules


@pytest.mark.parametrize("optimizer", ["nadam", "adamw"])
def test_weight_decay_spares_biases_and_normalisation(optimizer: str) -> None:
    model = GenreCNN(ModelConfig(widths=(2, 2, 2), dense=2, normalisation="batch"))
    config = TrainingConfig(optimizer=optimizer, weight_decay=0.5, learning_rate=0.1)  # type: ignore[arg-type]
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    chosen = make_optimizer(model, config)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    chosen.step()
    for name, parameter in model.named_parameters():
        factor = 1 - 0.1 * 0.5 if parameter.ndim > 1 else 1
        assert torch.allclose(parameter, before[name] * factor), name
