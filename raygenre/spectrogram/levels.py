"""Compute spectrograms as GTZAN's images show them: samples → 128 × 333 levels.

GTZAN's author computed a mel spectrogram with librosa and passed the *power* spectrogram to `amplitude_to_db`, so 80 dB
on the resulting scale correspond to only 40 dB of sound. The author plotted the result with librosa's `specshow` and
saved the matplotlib figure as an image of 432 × 288 pixels. A model trained on those images needs exactly this recipe,
mistakes included. The recipe is implemented only in this module.

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
RECIPE = "gtzan-1"  # change this name whenever the same samples or image would yield different levels

LEFT, RIGHT = 54, 389  # pixel columns of the axes' frame


# The 128 × 1025 mel matrix is nearly all zeros, so multiplying by a dense block for every sixteen bands takes
# an eighth of the time.
_BANDS_PER_BLOCK = 16
_FRAMES_PER_BLOCK = 96  # on a CPU; few enough that the spectra stay in the cache and their memory is reused


def levels(samples: Tensor, *, under_frame: bool = False) -> Tensor:
    """Compute the spectrogram of samples as shown in GTZAN's images.

    Args:
        samples: float32 (N,) or (B, N), mono, 22 050 Hz, on any device. For GTZAN's clips of 30.0 s, N = 661 794.
        under_frame: whether to include the leftmost and rightmost columns, which the image's frame covers; the result
            then has 335 columns instead of 333. `to_image` needs them to reproduce every pixel of the image.

    Returns:
        uint8 (128, 333) or (B, 128, 333) on the same device. A clip without any variation, such as digital silence, has
        level 0 throughout, as in matplotlib.

    Raises:
        AudioError: samples contain non-finite values or exceed ±100 000.
        ValueError: samples are empty, are not float32, or have an unsupported shape.

    Example:
        >>> noise = 0.1 * torch.randn(661_794, generator=torch.Generator().manual_seed(0))  # 30 s
        >>> levels(noise).shape
        torch.Size([128, 333])
    """
    _check(samples)
    margin = int(under_frame)
    if samples.device.type != "cpu":
        clips = samples if samples.ndim == 2 else samples[None]
        found = _levels(_mel_power(_frames(clips, 0, _number_of_frames(clips))).mT, margin)
        return found if samples.ndim == 2 else found[0]
    if samples.ndim == 2:  # one clip fits into the cache, and its levels do not depend on other clips
        return torch.stack([levels(clip, under_frame=under_frame) for clip in samples])
    return LevelStream().finish(samples, under_frame=under_frame)


class LevelStream:
    """Computes a clip's levels on the CPU while its samples arrive; the result equals that of `levels`, bit for bit."""

    def __init__(self) -> None:
        self._blocks: list[Tensor] = []  # mel power of the frames so far, (frames, 128) each

    def add(self, samples: Tensor) -> None:
        """Compute the frames that are complete.

        Args:
            samples: the clip so far, float32 (N,): the samples from the previous call and those that have arrived
                since.
        """
        while samples.shape[-1] >= self._complete_at:
            self._blocks.append(_mel_power(_frames(samples, self._done, self._done + _FRAMES_PER_BLOCK)))

    def finish(self, samples: Tensor, *, under_frame: bool = False) -> Tensor:
        """Return the levels of the whole clip, uint8 (128, 333).

        Args:
            samples: the whole clip, float32 (N,); it starts with the samples from the last call to `add`.
            under_frame: as for `levels`.

        Raises:
            AudioError, ValueError: as for `levels`.
        """
        _check(samples)
        self.add(samples)
        if self._done < (number := _number_of_frames(samples)):
            self._blocks.append(_mel_power(_frames(samples, self._done, number)))
        return _levels(torch.cat(self._blocks).mT[None], int(under_frame))[0]

    @property
    def _done(self) -> int:
        """The number of frames computed so far."""
        return _FRAMES_PER_BLOCK * len(self._blocks)

    @property
    def _complete_at(self) -> int:
        """The number of samples at which the next block of frames is complete."""
        return (self._done + _FRAMES_PER_BLOCK - 1) * HOP_LENGTH + N_FFT // 2


def _check(samples: Tensor) -> None:
    if samples.dtype != torch.float32 or samples.ndim not in (1, 2) or samples.shape[-1] == 0:
        raise ValueError(
            f"samples must be float32 (N,) or (B, N) with N > 0, not {samples.dtype} {tuple(samples.shape)}"
        )
    if not samples.abs().amax() <= MAX_AMPLITUDE:  # also rejects NaN
        raise AudioError(
            f"samples must be finite and within ±{MAX_AMPLITUDE:g}, where full scale is ±1; export the audio again"
        )


def _levels(power: Tensor, margin: int) -> Tensor:
    """(B, 128, frames) mel power → (B, 128, 333 + 2·margin) uint8."""
    top = _decibels(power.amax(dim=(1, 2), keepdim=True))
    bottom = (_decibels(power.amin(dim=(1, 2), keepdim=True)) - top).clamp(min=-RANGE_DB)
    shown = power[..., _frames_shown(power.shape[-1], margin).to(power.device)]  # the scale depends on all frames
    decibels = torch.maximum(_decibels(shown) - top, bottom)
    span = torch.where(bottom < 0, -bottom, torch.ones_like(bottom))
    return ((decibels - bottom) / span * 256).floor().clamp(0, 255).to(torch.uint8)


def _number_of_frames(samples: Tensor) -> int:
    return 1 + samples.shape[-1] // HOP_LENGTH


def _frames(samples: Tensor, first: int, last: int) -> Tensor:
    """Return frames `first` to `last` − 1 of clips (…, N): (…, frames, 2048).

    Frame i is centred on sample 512·i. Clips are padded with silence on both sides.
    """
    start, stop = first * HOP_LENGTH - N_FFT // 2, (last - 1) * HOP_LENGTH + N_FFT // 2
    part = samples[..., max(start, 0) : stop]
    return F.pad(part, (max(-start, 0), max(stop - samples.shape[-1], 0))).unfold(-1, N_FFT, HOP_LENGTH)


def _mel_power(frames: Tensor) -> Tensor:
    """(…, 2048) → (…, 128): librosa.feature.melspectrogram with its defaults."""
    spectrum = torch.view_as_real(torch.fft.rfft(frames * _window(frames.device))).square_()
    power = spectrum[..., 0] + spectrum[..., 1]  # (…, 1025)
    mel = frames.new_empty(*frames.shape[:-1], N_MELS)
    for bands, (first, last, weights) in zip(mel.split(_BANDS_PER_BLOCK, dim=-1), _mel_blocks(), strict=True):
        bands[:] = power[..., first:last] @ weights.to(power.device)
    return mel


def _decibels(power: Tensor) -> Tensor:
    """Apply librosa.amplitude_to_db to power, as GTZAN's author did, without subtracting the reference."""
    return 10 * torch.log10(power.clamp(min=MIN_POWER).square())


@cache
def _window(device: torch.device) -> Tensor:
    return torch.hann_window(N_FFT, device=device)


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
