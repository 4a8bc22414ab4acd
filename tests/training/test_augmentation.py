import torch

from raygenre.training.augmentation import erase


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
