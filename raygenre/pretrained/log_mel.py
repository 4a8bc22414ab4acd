"""The input of MSD_musicnn: log-mel patches of 3 s, computed with librosa's defaults.

Conventions: samples are mono float32 in [−1, 1] at 16 kHz. A patch has 187 frames of 512 samples, which start 256
samples apart, with 96 mel bands. Each value is log10(1 + 10 000 · power). The power is rounded to float16, as it was
when the network was trained; without this rounding, the network's features differ by up to 0.03. The first frame is
centred on the first sample, and samples outside the song are zero. Patches follow each other without overlap. Samples
at the end of a song that do not fill a patch are left out.
"""

from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raygenre.spectrogram.levels import mel_filters

SAMPLE_RATE = 16_000  # Hz
N_FFT = 512  # samples
HOP_LENGTH = 256  # samples
BANDS = 96
FRAMES = 187  # per patch

PATCH = FRAMES * HOP_LENGTH  # samples between the starts of two patches
PATCH_SECONDS = PATCH / SAMPLE_RATE  # 2.992 s

_MAX_POWER = 65_504.0  # the largest float16; music reaches a few hundred

_REACH = (FRAMES - 1) * HOP_LENGTH + N_FFT  # samples that a patch's frames cover
_MARGIN = N_FFT // 2  # samples by which the first frame starts before the song and the last frame ends after it


def log_mel(samples: Tensor) -> Tensor:
    """Return the log-mel frames, float32 (..., frames, 96), of samples, float32 (..., N), which are not padded."""
    frames = samples.unfold(-1, N_FFT, HOP_LENGTH) * torch.hann_window(N_FFT, device=samples.device)
    spectrum = torch.view_as_real(torch.fft.rfft(frames)).square_()  # (..., frames, 257, 2)
    power = (spectrum[..., 0] + spectrum[..., 1]) @ _filters().to(samples.device)
    stored = power.clamp(max=_MAX_POWER).half().float()
    return torch.log10(1 + 10_000 * stored)


def patches(blocks: Iterable[NDArray[np.float32]]) -> Iterator[Tensor]:
    """Yield the patches of a song, each float32 (187, 96); only one block and one patch are in memory at a time.

    Args:
        blocks: the song's samples in blocks of any length.
    """
    waiting = np.zeros(_MARGIN, dtype=np.float32)
    for block in blocks:
        waiting = np.concatenate([waiting, block])
        while len(waiting) >= _REACH:
            yield log_mel(torch.from_numpy(waiting[:_REACH]))
            waiting = waiting[PATCH:]
    waiting = np.concatenate([waiting, np.zeros(_MARGIN, dtype=np.float32)])
    if len(waiting) >= _REACH:
        yield log_mel(torch.from_numpy(waiting[:_REACH]))


@cache
def _filters() -> Tensor:
    """Return the mel filter bank, (257, 96)."""
    return torch.from_numpy(mel_filters(sample_rate=SAMPLE_RATE, n_fft=N_FFT, n_mels=BANDS).T.copy())
