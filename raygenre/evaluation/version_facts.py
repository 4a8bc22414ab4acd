"""Facts about a version's test, training data and weights, stored as tags in the registry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from raygenre.evaluation.chance import ChanceTest


@dataclass(frozen=True)
class VersionFacts:
    """Facts about a registered version, used by the promotion rule, the model card and the version lists.

    Attributes:
        test_accuracy: accuracy on the test tracks.
        test_digest: SHA-256 of the test tracks' ids and the data set; equal digests mean the same test.
        synthetic: whether the version was trained on synthetic tracks.
        study: name of the search that produced the version.
        sha256: the checksum of the classifier, which covers its weights, genres and calibration.
        test_tracks: number of test tracks; 0 if unknown, in which case the three fields below are unknown too.
        genres: number of genres.
        data: folder of the data set, or `synthetic`.
        data_digest: SHA-256 of the data set.
        test_guessing: share of the test tracks that guessing classifies correctly; see `chance`; 0 if unknown.
        validation_accuracy: mean accuracy of the winner's repeats on the validation tracks.
        validation_tracks: number of validation tracks; 0 if unknown, in which case the accuracy above and the share
            below are unknown too.
        validation_guessing: share of the validation tracks that guessing classifies correctly.
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
    test_guessing: float = 0.0
    validation_accuracy: float = 0.0
    validation_tracks: int = 0
    validation_guessing: float = 0.0

    @property
    def failed_chance_test(self) -> ChanceTest | None:
        """The first chance test that the version fails, on validation or test tracks; None if it fails neither."""
        # Earlier releases did not record `test_guessing`.
        guessing = self.test_guessing or (1 / self.genres if self.genres else 0)
        results = (
            ("validation", self.validation_accuracy, self.validation_tracks, self.validation_guessing),
            ("test", self.test_accuracy, self.test_tracks, guessing),
        )
        tests = [
            ChanceTest(name, round(accuracy * tracks), tracks, rate)
            for name, accuracy, tracks, rate in results
            if tracks and rate
        ]
        return next((test for test in tests if not test.is_better), None)

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
            "test_guessing": repr(self.test_guessing),
            "validation_accuracy": repr(self.validation_accuracy),
            "validation_tracks": str(self.validation_tracks),
            "validation_guessing": repr(self.validation_guessing),
        }

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Self:
        """Read the tags that `to_tags` returns; earlier releases did not store the tags after `sha256`.

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
            float(tags.get("test_guessing", 0)),
            float(tags.get("validation_accuracy", 0)),
            int(tags.get("validation_tracks", 0)),
            float(tags.get("validation_guessing", 0)),
        )
