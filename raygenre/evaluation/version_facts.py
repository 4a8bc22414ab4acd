"""What is known of a registered version, and what decides about the champion."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class VersionFacts:
    """What is known of a version, as its tags have it.

    Attributes:
        test_accuracy: on the test tracks.
        test_digest: SHA-256 of the test tracks' ids and of the data set; equal digests mean the same test.
        synthetic: whether it was trained on synthetic tracks.
        study: the search it came from.
        sha256: of the weights.
        test_tracks: how many; 0 where that is not known, as the three that follow are empty then.
        genres: how many.
        data: folder of the data set, or `synthetic`.
        data_digest: SHA-256 of the data set.
    """

    test_accuracy: float
    test_digest: str
    synthetic: bool
    study: str
    sha256: str
    test_tracks: int = 0
    genres: int = 0
    data: str = ""
    data_digest: str = ""

    def to_tags(self) -> dict[str, str]:
        return {
            "test_accuracy": repr(self.test_accuracy),
            "test_digest": self.test_digest,
            "synthetic": str(self.synthetic).lower(),
            "study": self.study,
            "sha256": self.sha256,
            "test_tracks": str(self.test_tracks),
            "genres": str(self.genres),
            "data": self.data,
            "data_digest": self.data_digest,
        }

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Self:
        """Read what `to_tags` wrote; versions of earlier days lack the last four.

        Raises:
            KeyError, ValueError: the tags say nothing of a test.
        """
        return cls(
            float(tags["test_accuracy"]),
            tags["test_digest"],
            tags["synthetic"] == "true",
            tags["study"],
            tags["sha256"],
            int(tags.get("test_tracks", 0)),
            int(tags.get("genres", 0)),
            tags.get("data", ""),
            tags.get("data_digest", ""),
        )
