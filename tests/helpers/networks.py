"""A network small enough to train in a unit test."""

import torch

from raygenre.model.network import ModelConfig

CPU = torch.device("cpu")
SMALL = ModelConfig(genres=3, widths=(4, 8, 8), dense=8, dropout=0.2, level_mean=40.0, level_std=50.0)
