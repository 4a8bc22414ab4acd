"""Predicts tags of songs with the pretrained network, which needs no training."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from raygenre.audio.errors import AudioError
from raygenre.inputs.features import Features
from raygenre.pretrained import store
from raygenre.pretrained.features import PNG_MESSAGE, Extractor, SongFeatures
from raygenre.pretrained.log_mel import SAMPLE_RATE
from raygenre.pretrained.store import Pretrained, PretrainedError
from raygenre.pretrained.tags import BEST, ranked
from serve.monitoring import logs
from serve.schema import PretrainedFacts
from serve.tag_schema import TagAnswer, TagWindow


class Tagger:
    """A pretrained network and the tags that it predicts; `DecoderPool.read` can use it as a reader.

    Attributes:
        kind: the kind of input that corresponds to the network's features; it also determines the windows in the
            answers.
        facts: facts about the network, such as its origin.
    """

    name: Literal["features"] = "features"
    sample_rate = SAMPLE_RATE

    def __init__(self, pretrained: Pretrained, device: torch.device) -> None:
        self.kind = Features(pretrained, device)
        about = pretrained.about
        self.facts = PretrainedFacts(
            name=about.model, source=about.source, licence=about.licence, tags=list(about.tags)
        )
        self._extractor = Extractor(pretrained.network)

    def of_image(self, source: Path | bytes) -> SongFeatures:
        raise AudioError(PNG_MESSAGE)

    def from_blocks(
        self, samples: Iterable[NDArray[np.float32]], *, progress: Callable[[], object] = lambda: None
    ) -> SongFeatures:
        """Return the tags of a song.

        Args, Raises: see `InputKind.cut`.
        """
        return self._extractor.from_blocks(samples, progress=progress)

    def answer(self, song: SongFeatures, request_id: str) -> TagAnswer:
        """Return the response for a song."""
        names = self.facts.tags
        tags = ranked(names, song.song_tags)
        windows = [
            TagWindow(number=number, start=start, end=end, tags=dict(ranked(names, shares)))
            for number, (start, end), shares in zip(song.numbers, song.times, song.tags, strict=True)
        ]
        return TagAnswer(
            best=[tag for tag, _ in tags[:BEST]],
            tags=dict(tags),
            windows=windows,
            pretrained=self.facts.name,
            source=self.facts.source,
            licence=self.facts.licence,
            request_id=request_id,
        )


def installed_tagger(folder: Path | None, device: torch.device) -> Tagger | None:
    """Return the tagger of the installed pretrained network, or None if it is missing or damaged.

    Args:
        folder: folder in which the network is installed; None for the user's cache.
    """
    if not store.is_installed(folder):
        return None
    try:
        return Tagger(store.load(folder), device)
    except PretrainedError as error:
        logs.error("pretrained network not loaded", error)
        return None
