import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from raygenre.model.flops import flops
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.spectrogram.levels import COLUMNS, N_MELS


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(),
        ModelConfig(genres=3, widths=(8, 12, 20), dense=12, frequency_bins=4),
        ModelConfig(widths=(4, 8, 12, 16), stem="strided", crop_columns=97),
    ],
)
def test_flops_match_the_counter_of_torch(config: ModelConfig) -> None:
    model = GenreCNN(config).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, N_MELS, COLUMNS, dtype=torch.uint8))
    assert flops(config) == counter.get_total_flops()
