"""The fast implementation of MSD_musicnn gives the same results as a naive one."""

import pytest
import torch

from raygenre.pretrained.conversion import network_from
from raygenre.pretrained.network import Dimensions, MusicNetwork
from raygenre.pretrained.tensorflow_checkpoint import CheckpointError
from tests.helpers.musicnn import SMALL, naive, random_variables


@pytest.fixture(scope="module")
def patches() -> torch.Tensor:
    """Return twelve patches of values in the range of log-mel spectrograms."""
    return 4 * torch.rand(12, 187, 96, generator=torch.Generator().manual_seed(0))


def test_features_and_logits_equal_a_naive_evaluation(patches: torch.Tensor) -> None:
    variables = random_variables()
    output = network_from(variables)(patches[:3])
    features, logits = naive(variables, patches[:3])
    torch.testing.assert_close(output.features, features, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(output.logits, logits, rtol=1e-4, atol=1e-4)


def test_bfloat16_changes_probabilities_little(patches: torch.Tensor) -> None:
    variables = random_variables(seed=1)
    output = network_from(variables)(patches[:6], bfloat16=True)  # more patches than the front end processes at once
    _, logits = naive(variables, patches[:6])
    assert output.features.dtype == output.logits.dtype == torch.float32
    torch.testing.assert_close(output.logits.sigmoid(), logits.sigmoid(), rtol=0, atol=0.05)


def test_a_patch_does_not_depend_on_the_others(patches: torch.Tensor) -> None:
    network = network_from(random_variables())
    together = network(patches).features
    torch.testing.assert_close(network(patches[7:8]).features, together[7:8], rtol=1e-5, atol=1e-5)


def test_dimensions_are_read_from_the_checkpoint() -> None:
    assert network_from(random_variables()).dimensions == SMALL


def test_the_real_network_has_787_thousand_parameters() -> None:
    assert Dimensions().front == 561
    assert Dimensions().features == 1506
    assert sum(parameter.numel() for parameter in MusicNetwork().parameters()) == 787_159


def test_a_network_of_another_kind_is_refused() -> None:
    variables = random_variables()
    kernel = variables.pop("dense/kernel")
    with pytest.raises(CheckpointError, match="no variable 'dense/kernel'"):
        network_from(variables)
    with pytest.raises(CheckpointError, match="does not fit MSD_musicnn"):
        network_from({**variables, "dense/kernel": kernel[:-1]})
