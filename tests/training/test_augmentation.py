import pytest
import torch
from torch import Tensor

from raygenre.spectrogram.levels import COLUMNS, N_MELS
from raygenre.training.augmentation import augment, crop, distort, erase, mask, mix
from raygenre.training.config import TrainingConfig


def test_about_half_of_the_tracks_lose_a_random_rectangle() -> None:
    torch.manual_seed(0)
    batch = torch.full((200, 128, 333), 9, dtype=torch.uint8)
    erased = (erase(batch) == 0).flatten(1).sum(dim=1)
    assert 60 < int((erased > 0).sum()) < 140
    sizes = erased[erased > 0] / (128 * 333)
    assert sizes.min() > 0.015
    assert sizes.max() < 0.21
    assert len(set(erased.tolist())) > 20  # rectangles differ between tracks
    assert int(batch.min()) == 9  # the input is unchanged


def ramp(tracks: int) -> Tensor:
    """Return levels that increase with the column and do not depend on the mel band."""
    columns = torch.arange(COLUMNS, dtype=torch.float32) * 255 / COLUMNS
    return columns.round().to(torch.uint8).expand(tracks, N_MELS, COLUMNS)


def test_without_means_a_batch_stays_as_it_is() -> None:
    batch = ramp(2)
    assert augment(batch, TrainingConfig(), COLUMNS) is batch


def test_a_crop_is_a_range_of_columns_at_a_random_place() -> None:
    torch.manual_seed(0)
    tracks = torch.randint(0, 256, (50, N_MELS, COLUMNS), dtype=torch.uint8)
    crops = crop(tracks, 96)
    assert crops.shape == (50, N_MELS, 96)
    starts = []
    for track, part in zip(tracks, crops, strict=True):
        [start] = [i for i in range(COLUMNS - 95) if torch.equal(track[:, i : i + 96], part)]
        starts.append(start)
    assert min(starts) < 40
    assert max(starts) > 200


def test_the_first_and_the_last_crop_can_be_drawn() -> None:
    torch.manual_seed(0)
    firsts = crop(ramp(400), COLUMNS - 1)[:, 0, 0]
    assert set(firsts.tolist()) == {0, 1}


def test_masks_hide_up_to_an_eighth_of_each_axis() -> None:
    torch.manual_seed(0)
    batch = torch.full((300, N_MELS, 96), 9, dtype=torch.uint8)
    hidden = mask(batch, 1) == 0
    bands, columns = hidden.all(dim=2).sum(dim=1), hidden.all(dim=1).sum(dim=1)
    assert (int(bands.min()), int(bands.max())) == (0, 16)
    assert (int(columns.min()), int(columns.max())) == (0, 12)
    assert int(batch.min()) == 9  # the input is unchanged
    assert (mask(batch, 3) == 0).float().mean() > 2 * hidden.float().mean()


def test_weak_distortion_is_a_crop() -> None:
    torch.manual_seed(0)
    crops = distort(ramp(20), 96, 1e-6)
    assert crops.shape == (20, N_MELS, 96)
    steps = crops[:, :, 1:] - crops[:, :, :-1]
    assert float((steps.mean(dim=2) - 255 / COLUMNS).abs().max()) < 0.02  # the distance between columns does not change
    assert float(crops[:, 1, 0].std()) > 20  # crops start at different places


def test_distortion_stretches_and_shifts_within_its_limits() -> None:
    torch.manual_seed(0)
    slopes = (distort(ramp(300), 96, 1.0)[:, 64, 80] - distort(ramp(300), 96, 1e-6)[:, 64, 80]).abs()
    assert float(slopes.max()) > 1
    tone = torch.zeros(300, N_MELS, COLUMNS, dtype=torch.uint8)
    tone[:, 60] = 200
    bands = distort(tone, 96, 1.0)[:, :, 48].argmax(dim=1)
    assert (int(bands.min()), int(bands.max())) == (58, 62)


def test_distortion_keeps_silence_and_the_range_of_levels() -> None:
    torch.manual_seed(0)
    assert not distort(torch.zeros(20, N_MELS, COLUMNS, dtype=torch.uint8), 96, 1.0).any()
    loud = distort(torch.full((20, N_MELS, COLUMNS), 250, dtype=torch.uint8), 96, 1.0)
    assert float(loud.max()) == 255
    assert float(loud.std(dim=(1, 2)).max()) > 1  # the frequency response changes


def test_mixed_tracks_have_mixed_targets() -> None:
    torch.manual_seed(0)
    values = torch.tensor([10.0, 50.0, 200.0])
    batch = values[:, None, None].expand(3, N_MELS, 96)
    mixed, targets = mix(batch, torch.eye(3), 1.0)
    assert torch.allclose(targets.sum(dim=1), torch.ones(3))
    for track, target in zip(mixed, targets, strict=True):
        assert torch.allclose(track, (target @ values).expand_as(track), atol=1e-3)
    assert int((targets > 0.01).sum()) > 3


@pytest.mark.parametrize("distortion", [0.0, 1.0])
def test_all_means_together_give_crops_in_range(distortion: float) -> None:
    torch.manual_seed(0)
    config = TrainingConfig(augmentation="erasing", masks=2, distortion=distortion)
    crops = augment(ramp(6), config, 96)
    assert crops.shape == (6, N_MELS, 96)
    assert 0 <= float(crops.min()) <= float(crops.max()) <= 255
