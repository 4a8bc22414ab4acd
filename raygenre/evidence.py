"""What is known of a registered version, and what decides about the champion."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Evidence:
    """What is known of a version, as its tags have it.

    Attributes:
        test_accuracy: on the test tracks.
        test_digest: SHA-256 of the test tracks' ids and of the data set; equal digests mean the same test.
        synthetic: whether it was trained on synthetic tracks.
        study: the search it came from.
        sha256: of the weights.
    """

    test_accuracy: float
    test_digest: str
    synthetic: bool
    study: str
    sha256: str

    def to_tags(self) -> dict[str, str]:
        return {
            "test_accuracy": repr(self.test_accuracy),
            "test_digest": self.test_digest,
            "synthetic": str(self.synthetic).lower(),
            "study": self.study,
            "sha256": self.sha256,
        }

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Self:
        return cls(
            float(tags["test_accuracy"]),
            tags["test_digest"],
            tags["synthetic"] == "true",
            tags["study"],
            tags["sha256"],
        )


@dataclass(frozen=True)
class Decision:
    """Whether a version may become the champion, and why."""

    promote: bool
    reason: str


def test_digest(tracks: tuple[str, ...], data_digest: str) -> str:
    """Identify a test: these tracks of this data set."""
    return hashlib.sha256(json.dumps([sorted(tracks), data_digest]).encode()).hexdigest()


def decide(candidate: Evidence, champion: Evidence) -> Decision:
    """Say whether the candidate should take the champion's place."""
    if champion.synthetic and not candidate.synthetic:
        return Decision(True, "the champion was trained on synthetic tracks")
    if candidate.synthetic and not champion.synthetic:
        return Decision(False, "it was trained on synthetic tracks, the champion on real ones")
    if candidate.test_digest != champion.test_digest:
        return Decision(False, "it was tested on other tracks than the champion, so the two cannot be compared")
    difference = f"{candidate.test_accuracy:.1%} against the champion's {champion.test_accuracy:.1%} on the same tracks"
    return Decision(candidate.test_accuracy > champion.test_accuracy, difference)
