import pytest
import torch

from raygenre.model.dropout import Dropout


@pytest.mark.parametrize("probability", [0.1, 0.3, 0.75])
def test_share_of_dropped_values_and_their_mean(probability: float) -> None:
    torch.manual_seed(0)
    dropped = Dropout(probability).train()(torch.ones(500_003))
    share = float((dropped == 0).double().mean())
    assert share == pytest.approx(probability, abs=4 * (probability * (1 - probability) / 500_003) ** 0.5)
    assert dropped.max() == pytest.approx(1 / (1 - probability), rel=1e-4)
    assert float(dropped.double().mean()) == pytest.approx(1, abs=0.01)


def test_values_that_share_a_draw_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.5).train()(torch.ones(100_000, 4)) > 0).double()
    assert (torch.corrcoef(kept.T) - torch.eye(4)).abs().max() < 0.015  # five standard deviations
    assert (kept.mean(dim=0) - 0.5).abs().max() < 0.008


def test_mask_depends_only_on_seed_and_memory_format() -> None:
    values = torch.ones(2, 3, 5, 7)
    masks = []
    for _ in range(2):
        torch.manual_seed(4)
        masks.append(Dropout(0.5).train()(values))
    assert torch.equal(*masks)
    torch.manual_seed(4)
    channels_last = Dropout(0.5).train()(values.contiguous(memory_format=torch.channels_last))
    assert channels_last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(channels_last.permute(0, 2, 3, 1).reshape(-1), masks[0].reshape(-1))


def test_dropped_values_get_no_gradient() -> None:
    values = torch.ones(64, requires_grad=True)
    dropped = Dropout(0.5).train()(values)
    [gradient] = torch.autograd.grad(dropped.sum(), values)
    assert torch.equal(gradient, dropped.detach())


@pytest.mark.parametrize("probability", [0.0, 1e-9])
def test_no_dropout_in_evaluation_or_at_probability_zero(probability: float) -> None:
    values = torch.rand(1000)
    assert torch.equal(Dropout(probability).train()(values), values)
    assert torch.equal(Dropout(0.5).eval()(values), values)


def test_values_are_finite_at_a_probability_near_one() -> None:
    assert torch.isfinite(Dropout(1 - 1e-9).train()(torch.rand(1000))).all()


def test_dtype_is_preserved() -> None:
    assert Dropout(0.3).train()(torch.ones(8, dtype=torch.bfloat16)).dtype == torch.bfloat16
