"""Compute spectrograms as GTZAN's images show them: samples → 128 × 333 levels.

GTZAN's author computed a mel spectrogram with librosa, passed the *power* spectrogram to `amplitude_to_db` (so 80 dB on
its scale correspond to only 40 dB of sound), plotted it with librosa's `specshow` and saved the matplotlib figure as an
image of 432 × 288 pixels. A model trained on those images needs exactly this recipe, mistakes included. The recipe is
implemented only in this module.

Conventions: samples are mono float32 at 22 050 Hz. Levels are the values that an image shows: uint8, 128 mel bands
(lowest first) × 333 pixel columns (time), where 0 is the quietest and 255 the loudest point of the clip.
"""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from raygenre.audio.decoding import SAMPLE_RATE, AudioError

N_FFT = 2048  # samples
HOP_LENGTH = 512  # samples
N_MELS = 128
COLUMNS = 333
RANGE_DB = 80.0  # visible range on the scale of amplitude_to_db
MAX_AMPLITUDE = 1e5  # relative to full scale; the square of the power must fit into a float32
MIN_POWER = 1e-5  # the default `amin` of amplitude_to_db
RECIPE = "gtzan-1"  # change it whenever the same samples or image would give different levels

LEFT, RIGHT = 54, 389  # pixel columns of the axes' frame


# The 128 × 1025 mel matrix is nearly all zeros, so multiplying by a dense block for every sixteen bands takes
# an eighth of the time.
_BANDS_PER_BLOCK = 16
_FRAMES_PER_BLOCK = 96  # on a CPU; few enough that the spectra stay in the cache and their memory is reused


def levels(samples: Tensor, *, under_frame: bool = False) -> Tensor:
    """Compute the spectrogram of samples as shown in GTZAN's images.

    Args:
        samples: float32 (N,) or (B, N), mono, 22 050 Hz, on any device. GTZAN's clips of 30.0 s have N = 661 794.
        under_frame: whether to include the leftmost and rightmost columns, which the image's frame covers; this gives
            335 columns instead of 333. `to_image` needs them to reproduce every pixel of the image.

    Returns:
        uint8 (128, 333) or (B, 128, 333) on the same device. A clip without any variation, such as digital
        silence, is level 0 throughout, as in matplotlib.

    Raises:
        AudioError: samples are not finite or exceed ±100 000.
        ValueError: samples are empty, are not float32, or have an unsupported shape.

    Example:
        >>> noise = 0.1 * torch.randn(661_794, generator=torch.Generator().manual_seed(0))  # 30 s
        >>> levels(noise).shape
        torch.Size([128, 333])
    """
    if samples.dtype != torch.float32 or samples.ndim not in (1, 2) or samples.shape[-1] == 0:
        raise ValueError(
            f"samples must be float32 (N,) or (B, N) with N > 0, not {samples.dtype} {tuple(samples.shape)}"
        )
    if not samples.abs().amax() <= MAX_AMPLITUDE:  # also rejects NaN
        raise AudioError(
            f"samples must be finite and within ±{MAX_AMPLITUDE:g}, where full scale is ±1; export the audio again"
        )
    margin = int(under_frame)
    if samples.ndim == 1:
        return _compute(samples[None], margin)[0]
    if samples.device.type == "cpu":  # one clip fits into the cache, and its levels do not depend on the others
        return torch.cat([_compute(clip[None], margin) for clip in samples])
    return _compute(samples, margin)


def _compute(samples: Tensor, margin: int) -> Tensor:
    """(B, N) float32 → (B, 128, 333 + 2·margin) uint8."""
    power = _mel_power(samples)  # (B, 128, frames)
    top = _decibels(power.amax(dim=(1, 2), keepdim=True))
    bottom = (_decibels(power.amin(dim=(1, 2), keepdim=True)) - top).clamp(min=-RANGE_DB)
    shown = power[..., _frames_shown(power.shape[-1], margin).to(power.device)]  # the scale depends on all frames
    decibels = torch.maximum(_decibels(shown) - top, bottom)
    span = torch.where(bottom < 0, -bottom, torch.ones_like(bottom))
    return ((decibels - bottom) / span * 256).floor().clamp(0, 255).to(torch.uint8)


def _mel_power(samples: Tensor) -> Tensor:
    """(B, N) → (B, 128, frames): librosa.feature.melspectrogram with its defaults."""
    frames = F.pad(samples, (N_FFT // 2, N_FFT // 2)).unfold(-1, N_FFT, HOP_LENGTH)  # (B, frames, 2048)
    window = torch.hann_window(N_FFT, device=samples.device)
    mel = samples.new_empty(*frames.shape[:2], N_MELS)
    blocks = -(-frames.shape[1] // _FRAMES_PER_BLOCK) if samples.device.type == "cpu" else 1
    for block, out in zip(frames.tensor_split(blocks, dim=1), mel.tensor_split(blocks, dim=1), strict=True):
        spectrum = torch.view_as_real(torch.fft.rfft(block * window)).square_()  # (B, frames of the block, 1025, 2)
        power = spectrum[..., 0] + spectrum[..., 1]
        for bands, (first, last, weights) in zip(out.split(_BANDS_PER_BLOCK, dim=-1), _mel_blocks(), strict=True):
            bands[:] = power[..., first:last] @ weights.to(power.device)
    return mel.mT


def _decibels(power: Tensor) -> Tensor:
    """Apply librosa.amplitude_to_db to power, as GTZAN's author did, without subtracting the reference."""
    return 10 * torch.log10(power.clamp(min=MIN_POWER).square())


@cache
def _frames_shown(frames: int, margin: int) -> Tensor:
    """Return the index of the frame shown in each pixel column inside the axes.

    The axes' 334.8 pixels are divided equally among the frames, and a pixel shows the last frame whose left edge is
    within it. Agg, matplotlib's renderer, rounds edges to 1/256 pixel, which can move an edge into the next pixel.
    """
    edges = (256 * (LEFT + torch.arange(frames, dtype=torch.float64) * 334.8 / frames)).round()
    right_borders = 256.0 * (torch.arange(LEFT - margin, RIGHT - 2 + margin, dtype=torch.float64) + 2)
    return torch.searchsorted(edges, right_borders) - 1


@cache
def _mel_blocks() -> list[tuple[int, int, Tensor]]:
    """Return (first bin, last bin + 1, weights (bins, 16)) for each block of sixteen mel bands."""
    weights = mel_filters()
    blocks = []
    for band in range(0, N_MELS, _BANDS_PER_BLOCK):
        rows = weights[band : band + _BANDS_PER_BLOCK]
        bins = np.flatnonzero(rows.any(axis=0))
        first, last = int(bins[0]), int(bins[-1]) + 1
        blocks.append((first, last, torch.from_numpy(np.ascontiguousarray(rows[:, first:last].T))))
    return blocks


def mel_filters(*, sample_rate: int = SAMPLE_RATE, n_fft: int = N_FFT, n_mels: int = N_MELS) -> NDArray[np.float32]:
    """Return a mel filter bank, float32 (n_mels, n_fft // 2 + 1): triangles on Slaney's scale with unit area.

    Source: M. Slaney, Auditory Toolbox, 1998. The values equal those of librosa.filters.mel with the same arguments.
    """
    # Slaney's scale is linear up to 1000 Hz (15 mel) and logarithmic above it, with 27 steps per factor of 6.4.
    log_step = np.log(6.4) / 27
    top_mel = 15 + np.log(sample_rate / 2 / 1000) / log_step
    mel = np.linspace(0, top_mel, n_mels + 2)
    edges = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(log_step * (mel - 15)))  # Hz
    ramps = edges[:, None] - np.linspace(0, sample_rate / 2, n_fft // 2 + 1)  # (n_mels + 2, n_fft // 2 + 1), Hz
    widths = np.diff(edges)[:, None]
    triangles = np.maximum(0, np.minimum(-ramps[:-2] / widths[:-1], ramps[2:] / widths[1:]))
    return np.asarray(triangles * (2 / (edges[2:] - edges[:-2]))[:, None], dtype=np.float32)
