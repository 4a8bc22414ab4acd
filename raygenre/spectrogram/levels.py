"""Draw music as GTZAN's spectrogram images were drawn, and read those images back.

The dataset's author computed a librosa mel spectrogram, passed the *power* spectrogram to `amplitude_to_db`
(so 80 dB of its scale are only 40 dB of sound) and saved `specshow` through matplotlib as a 432×288 picture.
A model trained on those pictures expects exactly that, slips included; this module is the only place that knows it.

Conventions: samples are mono float32 at 22 050 Hz. Levels are what a picture holds and nothing else: uint8,
(128 mel bands, lowest first) × (333 pixel columns), 0 the quietest and 255 the loudest of the clip.
"""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from raygenre.audio.decoding import SAMPLE_RATE

N_FFT = 2048  # samples
HOP_LENGTH = 512  # samples
N_MELS = 128
COLUMNS = 333
RANGE_DB = 80.0  # visible range on the scale of amplitude_to_db
LOUDEST = 1e5  # of full scale; the square of the power must stay a float32
SMALLEST_POWER = 1e-5  # amplitude_to_db's amin
RECIPE = "gtzan-1"  # changes whenever the same samples or picture would give other levels

LEFT, RIGHT = 54, 389  # columns of the frame


# The 128 × 1025 mel matrix is nearly all zeros: small dense products over sixteen bands each cost an eighth of it.
_BANDS_A_BLOCK = 16
_FRAMES_A_BLOCK = 96  # on a CPU: spectra that stay in its cache, and in memory that is asked for once


def levels(samples: Tensor, *, under_frame: bool = False) -> Tensor:
    """Draw samples as the dataset's images do.

    Args:
        samples: float32 (N,) or (B, N), mono, 22 050 Hz, on any device. GTZAN's clips of 30.0 s have N = 661 794.
        under_frame: add the two columns that the picture's frame hides or nearly hides, one at either side:
            335 columns instead of 333. `to_image` needs them to draw a whole picture to the pixel.

    Returns:
        uint8 (128, 333) or (B, 128, 333) on the same device. A clip without any variation, such as digital
        silence, is level 0 throughout, as matplotlib draws it.

    Raises:
        ValueError: samples are empty, not float32, of another shape, or not finite or far too loud.
    """
    if samples.dtype != torch.float32 or samples.ndim not in (1, 2) or samples.shape[-1] == 0:
        raise ValueError(
            f"samples must be float32 (N,) or (B, N) with N > 0, not {samples.dtype} {tuple(samples.shape)}"
        )
    if not samples.abs().amax() <= LOUDEST:  # not for NaN either
        raise ValueError(f"samples must be finite and within ±{LOUDEST:g}, which is far beyond full scale")
    margin = int(under_frame)
    if samples.ndim == 1:
        return _draw(samples[None], margin)[0]
    if samples.device.type == "cpu":  # one clip fits the cache, and gives the same levels in any batch
        return torch.cat([_draw(clip[None], margin) for clip in samples])
    return _draw(samples, margin)


def _draw(samples: Tensor, margin: int) -> Tensor:
    """(B, N) float32 → (B, 128, 333 + 2·margin) uint8."""
    power = _mel_power(samples)  # (B, 128, frames)
    top = _decibels(power.amax(dim=(1, 2), keepdim=True))
    bottom = (_decibels(power.amin(dim=(1, 2), keepdim=True)) - top).clamp(min=-RANGE_DB)
    shown = power[..., _frames_shown(power.shape[-1], margin).to(power.device)]  # the scale spans all frames
    decibels = torch.maximum(_decibels(shown) - top, bottom)
    span = torch.where(bottom < 0, -bottom, torch.ones_like(bottom))
    return ((decibels - bottom) / span * 256).floor().clamp(0, 255).to(torch.uint8)


def _mel_power(samples: Tensor) -> Tensor:
    """(B, N) → (B, 128, frames): librosa.feature.melspectrogram with its defaults."""
    frames = F.pad(samples, (N_FFT // 2, N_FFT // 2)).unfold(-1, N_FFT, HOP_LENGTH)  # (B, frames, 2048)
    window = torch.hann_window(N_FFT, device=samples.device)
    mel = samples.new_empty(*frames.shape[:2], N_MELS)
    blocks = -(-frames.shape[1] // _FRAMES_A_BLOCK) if samples.device.type == "cpu" else 1
    for some, out in zip(frames.tensor_split(blocks, dim=1), mel.tensor_split(blocks, dim=1), strict=True):
        spectrum = torch.view_as_real(torch.fft.rfft(some * window)).square_()  # (B, some frames, 1025, 2)
        power = spectrum[..., 0] + spectrum[..., 1]
        for bands, (first, last, weights) in zip(out.split(_BANDS_A_BLOCK, dim=-1), _mel_blocks(), strict=True):
            bands[:] = power[..., first:last] @ weights.to(power.device)
    return mel.mT


def _decibels(power: Tensor) -> Tensor:
    """librosa.amplitude_to_db of a power, as the author applied it, before the reference is taken off."""
    return 10 * torch.log10(power.clamp(min=SMALLEST_POWER).square())


@cache
def _frames_shown(frames: int, margin: int) -> Tensor:
    """The frame that each of the interior's pixel columns shows.

    The frames share the axes' 334.8 pixels equally, and a pixel shows the last frame whose left edge lies within it.
    Agg rounds edges to 1/256 pixel, which decides where one falls next to a pixel's border.
    """
    edges = (256 * (LEFT + torch.arange(frames, dtype=torch.float64) * 334.8 / frames)).round()
    right_borders = 256.0 * (torch.arange(LEFT - margin, RIGHT - 2 + margin, dtype=torch.float64) + 2)
    return torch.searchsorted(edges, right_borders) - 1


@cache
def _mel_blocks() -> list[tuple[int, int, Tensor]]:
    """(first bin, last bin + 1, weights (bins, 16)) of each run of sixteen mel bands."""
    weights = mel_filters()
    blocks = []
    for band in range(0, N_MELS, _BANDS_A_BLOCK):
        rows = weights[band : band + _BANDS_A_BLOCK]
        bins = np.flatnonzero(rows.any(axis=0))
        first, last = int(bins[0]), int(bins[-1]) + 1
        blocks.append((first, last, torch.from_numpy(np.ascontiguousarray(rows[:, first:last].T))))
    return blocks


def mel_filters() -> NDArray[np.float32]:
    """Return the mel filter bank (128, 1025): triangles on Slaney's scale, each of unit area (his norm).

    Source: M. Slaney, Auditory Toolbox, 1998; the same numbers as librosa.filters.mel.
    """
    # Slaney's scale is linear up to 1000 Hz (15 mel) and logarithmic above, 27 steps to a factor of 6.4.
    log_step = np.log(6.4) / 27
    top_mel = 15 + np.log(SAMPLE_RATE / 2 / 1000) / log_step
    mel = np.linspace(0, top_mel, N_MELS + 2)
    edges = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(log_step * (mel - 15)))  # Hz
    ramps = edges[:, None] - np.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1)  # (130, 1025), Hz
    widths = np.diff(edges)[:, None]
    triangles = np.maximum(0, np.minimum(-ramps[:-2] / widths[:-1], ramps[2:] / widths[1:]))
    return np.asarray(triangles * (2 / (edges[2:] - edges[:-2]))[:, None], dtype=np.float32)
