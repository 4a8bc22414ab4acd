import subprocess
import sys

import torch
from torch import Tensor, nn

from raygenre.training.optimizer import NAdam


def trained(kind: type[torch.optim.Optimizer]) -> list[Tensor]:
    torch.manual_seed(0)
    layer = nn.Linear(5, 3)
    optimizer = kind(layer.parameters(), lr=1e-2)  # type: ignore[call-arg]
    for _ in range(20):
        optimizer.zero_grad()
        torch.autograd.backward(layer(torch.ones(2, 5)).pow(2).sum())
        optimizer.step()
    return [parameter.detach() for parameter in layer.parameters()]


def test_parameters_equal_those_of_torchs_nadam() -> None:
    for ours, theirs in zip(trained(NAdam), trained(torch.optim.NAdam), strict=True):
        assert torch.equal(ours, theirs)


def test_optimizer_does_not_import_torchs_compiler() -> None:
    script = "import sys; from tests.training.test_optimizer import NAdam, trained; trained(NAdam); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "torch.optim.nadam" in modules
    assert "torch._dynamo" not in modules
