"""Facts about a version that the registry stores as tags: test, training data and weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class VersionFacts:
    """Facts about a registered version, used by the promotion rule, the model card and the version lists.

    Attributes:
        test_accuracy: accuracy on the test tracks.
        test_digest: SHA-256 over the test tracks' ids and the data set; equal digests mean the same test.
        synthetic: whether the version was trained on synthetic tracks.
        study: name of the search that produced it.
        sha256: SHA-256 of the weights.
        test_tracks: number of test tracks; 0 if unknown, in which case the three fields below are unknown too.
        genres: number of genres.
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
        """Read the tags that `to_tags` returns; versions registered by earlier releases may lack the last four.

        Raises:
            KeyError, ValueError: the tags contain no facts, for example because the version was registered by hand.
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
