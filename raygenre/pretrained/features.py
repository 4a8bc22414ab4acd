"""The features and tags of songs: what MSD_musicnn computes for windows of 30 s.

Features are one kind of input for a genre network; the other is levels (`raygenre.spectrogram.levels`). Each kind has a
recipe. The recipe's name changes whenever the same samples would yield different values.

Conventions: a window is ten patches of 2.992 s, and a shorter song is a single window. Windows follow each other
without overlap; if the last window would extend past the end of the song, it is moved back so that it ends with the
last patch. A window's features are the mean over its patches. Patches of digital silence are ignored because they have
no genre and no tags.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raygenre import audio
from raygenre.audio.blocks import blocks
from raygenre.pretrained.log_mel import PATCH_SECONDS, SAMPLE_RATE, patches
from raygenre.pretrained.network import MusicNetwork
from raygenre.spectrogram.song import is_image

RECIPE = "musicnn-1"  # change it whenever the same samples would yield different features
WINDOW_PATCHES = 10  # 29.92 s

_CHUNK, _CHUNK_ON_GPU = 10, 64  # patches that pass through the network together

PNG_MESSAGE = "it is an image, which the pretrained network cannot process; use the recording itself"


@dataclass(frozen=True)
class SongFeatures:
    """The features and tags of a song.

    Attributes:
        features: float32 (W, 1506), the features of each window that is not silent.
        tags: float32 (W, 50), the tags' probabilities in each of these windows.
        song_tags: float32 (50,), the tags' probabilities averaged over all patches that are not silent.
        times: start and end of each of these windows in s.
        numbers: index of each of these windows among all windows of the song, including silent ones.
    """

    features: NDArray[np.float32]
    tags: NDArray[np.float32]
    song_tags: NDArray[np.float32]
    times: tuple[tuple[float, float], ...]
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Extractor:
    """Computes the features and tags of songs; memory use does not grow with the number of samples.

    Attributes:
        network: a pretrained network on any device.
        bfloat16: whether to multiply in bfloat16, which is twice as fast on processors that support it and changes the
            averaged tags by less than 0.01.
    """

    network: MusicNetwork
    bfloat16: bool = False

    def read(
        self,
        source: Path | bytes,
        *,
        longest_seconds: float = float("inf"),
        progress: Callable[[Literal["decode", "features"]], object] = lambda stage: None,
    ) -> SongFeatures:
        """Return the features of an audio file.

        Args:
            source: path or bytes of the file.
            longest_seconds: maximum duration in s.
            progress: function to call frequently with the stage that is about to run. If the function raises an
                exception, reading stops and the exception propagates, as described in `audio.blocks.blocks`.

        Raises:
            AudioError: the file is not audio, or is damaged, too long, shorter than 3 s, or silent.
            OSError: the file cannot be opened.
        """
        if is_image(source):
            raise audio.AudioError(PNG_MESSAGE)
        decoded = blocks(
            source, rate=SAMPLE_RATE, longest_seconds=longest_seconds, on_packet=lambda: progress("decode")
        )
        with closing(decoded):
            return self.from_blocks(decoded, progress=lambda: progress("features"))

    def from_blocks(
        self, samples: Iterable[NDArray[np.float32]], *, progress: Callable[[], object] = lambda: None
    ) -> SongFeatures:
        """Return the features of a song, given its samples at 16 kHz in blocks of any length; see `read`."""
        with _one_thread():
            return self._from_blocks(samples, progress)

    def _from_blocks(self, samples: Iterable[NDArray[np.float32]], progress: Callable[[], object]) -> SongFeatures:
        device = next(self.network.parameters()).device
        size = _CHUNK if device.type == "cpu" else _CHUNK_ON_GPU
        length = 0

        def counted() -> Iterator[NDArray[np.float32]]:
            nonlocal length
            for block in samples:
                length += len(block)
                yield block

        windows = _Windows()
        following = patches(counted())
        while chunk := list(islice(following, size)):
            progress()
            stacked = torch.stack(chunk).to(device)
            output = self.network(stacked, bfloat16=self.bfloat16)
            audible = stacked.amax(dim=(1, 2)) > 0
            windows.add(output.features.cpu(), torch.sigmoid(output.logits).cpu(), audible.tolist())
        if not windows.patches:
            raise audio.AudioError(f"the audio lasts {length / SAMPLE_RATE:.1f} s; at least 3 s are needed")
        return windows.song()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Make torch use a single thread.

    The network's matrix products are small, and two threads would wait for each other after each product. On two busy
    cores, a song took ten times as much CPU time with two threads as with one.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Windows:
    """Averages the patches of each window as the patches arrive, and keeps only the latest ten patches.

    Attributes:
        patches: number of patches that have arrived, including silent ones.
    """

    def __init__(self) -> None:
        self.patches = 0
        self._latest: deque[tuple[Tensor, Tensor] | None] = deque(maxlen=WINDOW_PATCHES)  # None if silent
        self._means: list[tuple[int, float, Tensor, Tensor]] = []  # number, end in patches, features, tags
        self._sum, self._audible = torch.zeros(()), 0
        self._windows = 0

    def add(self, features: Tensor, tags: Tensor, audible: list[bool]) -> None:
        """Add the features (P, 1506) and tags (P, 50) of the next patches."""
        for row, shares, has_sound in zip(features, tags, audible, strict=True):
            self._latest.append((row, shares) if has_sound else None)
            self.patches += 1
            if has_sound:
                self._sum = self._sum + shares.double()
                self._audible += 1
            if self.patches % WINDOW_PATCHES == 0:
                self._close()

    def song(self) -> SongFeatures:
        """Return the windows of the whole song; the last window ends with the last patch."""
        if self.patches % WINDOW_PATCHES:
            self._close()
        if not self._audible:
            raise audio.AudioError(audio.SILENT_MESSAGE)
        length = min(WINDOW_PATCHES, self.patches)
        numbers, ends, features, tags = zip(*self._means, strict=True)
        return SongFeatures(
            features=torch.stack(features).numpy(),
            tags=torch.stack(tags).numpy(),
            song_tags=(self._sum / self._audible).float().numpy(),
            times=tuple(((end - length) * PATCH_SECONDS, end * PATCH_SECONDS) for end in ends),
            numbers=numbers,
        )

    def _close(self) -> None:
        audible = [patch for patch in self._latest if patch]
        if audible:
            features, tags = (torch.stack(values).mean(dim=0) for values in zip(*audible, strict=True))
            self._means.append((self._windows, self.patches, features, tags))
        self._windows += 1
