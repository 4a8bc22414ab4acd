"""Features as input: what the pretrained network computes for each window of a song."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raygenre import audio
from raygenre.audio.decoding import decode_section
from raygenre.inputs.kind import RANGES, InputKind, Song
from raygenre.pretrained import store
from raygenre.pretrained.features import PNG_MESSAGE, RECIPE, WINDOW_PATCHES, Extractor
from raygenre.pretrained.log_mel import FRAMES, HOP_LENGTH, PATCH_SECONDS, SAMPLE_RATE
from raygenre.pretrained.store import Pretrained
from raygenre.system.regular_file import check_regular

FOLDER = "extractor"
"""Name of the folder, within a classifier's folder, that contains the pretrained network."""

_SECTION = 30 * SAMPLE_RATE  # if a song is longer than `_SINGLE`, only this many of its samples are used
_SINGLE = 31 * SAMPLE_RATE


class Features(InputKind):
    """float32 (1506,): maximum and mean of each channel over a patch of 3 s, averaged over the window's ten patches.

    Args:
        pretrained: the network. Copies of its weights and licence are stored with each classifier.
        device: device on which the network runs; the CPU if None.
    """

    name = "features"
    recipe = RECIPE
    takes_images = False
    sample_rate = SAMPLE_RATE
    dtype = np.dtype(np.float32)

    def __init__(self, pretrained: Pretrained, device: torch.device | None = None) -> None:
        self.pretrained = pretrained
        self.shape = (pretrained.network.dimensions.features,)
        self.weights_sha256 = pretrained.about.sha256
        self._extractor = Extractor(pretrained.network.to(device or torch.device("cpu")))

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "Features":
        """Load the network that `save` wrote into a classifier's folder.

        Raises:
            PretrainedError: the network is missing or damaged.
        """
        try:
            return cls(store.load(folder / FOLDER), device)
        except store.PretrainedError as error:
            raise store.PretrainedError(
                f"the pretrained network in {folder / FOLDER} is missing or damaged; restore the classifier's folder "
                "from the registry or a backup"
            ) from error

    def cut(self, samples: Iterable[NDArray[np.float32]], progress: Callable[[], object]) -> Iterator[Song]:
        song = self._extractor.from_blocks(samples, progress=progress)
        yield Song(song.features, song.times, song.numbers)

    def spans(self, seconds: float) -> list[tuple[float, float]]:
        patches = (1 + round(seconds * SAMPLE_RATE) // HOP_LENGTH) // FRAMES
        length = min(WINDOW_PATCHES, patches)
        ends = [*range(length, patches, WINDOW_PATCHES), patches]
        return [((end - length) * PATCH_SECONDS, end * PATCH_SECONDS) for end in ends]

    def of_image(self, source: Path | bytes) -> Song:
        raise audio.AudioError(PNG_MESSAGE)  # applies to every image, so the file need not be read

    def from_levels(self, levels: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise audio.AudioError(PNG_MESSAGE)

    def middle(self, path: Path) -> NDArray[np.float32]:
        check_regular(path, audio.AudioError)
        _, samples = decode_section(path, rate=SAMPLE_RATE, single=_SINGLE, section=_SECTION)
        return np.asarray(self.from_blocks([samples]).windows.mean(axis=0))

    def summaries(self, windows: NDArray[Any]) -> NDArray[np.float64]:
        # Features differ in scale, so they are standardised in the same way as inside the pretrained network.
        pooled = self.pretrained.network.pooled
        with torch.inference_mode():
            standard = pooled(torch.tensor(windows).to(pooled.weight.device)).cpu().double().numpy()
        return np.stack([part.mean(axis=1) for part in np.array_split(standard, RANGES, axis=1)], axis=1)

    def on(self, device: torch.device) -> "Features":
        return Features(self.pretrained, device)

    def save(self, folder: Path) -> None:
        store.save(self.pretrained, folder / FOLDER)
