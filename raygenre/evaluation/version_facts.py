"""What is known of a registered version, and what decides about the champion."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from raygenre.evaluation.paired_test import LEAST_TRACKS, SIGNIFICANT, Comparison


@dataclass(frozen=True)
class Evidence:
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


@dataclass(frozen=True)
class Decision:
    """Whether a version may become the champion, and why.

    Attributes:
        incumbent: the champion's version that it was decided against; None if there was none.
        comparison: the two on the same tracks, if they were compared.
        forced: it is as somebody wanted it, and not as the evidence has it.
        unsaid: why the search's run does not say so; empty if it does.
    """

    promote: bool
    reason: str
    incumbent: int | None = None
    comparison: Comparison | None = None
    forced: bool = False
    unsaid: str = ""


def by_kind(candidate: Evidence, champion: Evidence, incumbent: int) -> Decision | None:
    """Decide where one of the two knows synthetic tracks alone; None if the two are to be compared."""
    if champion.synthetic and not candidate.synthetic:
        return Decision(True, f"the champion, version {incumbent}, was trained on synthetic tracks", incumbent)
    if candidate.synthetic and not champion.synthetic:
        return Decision(
            False, f"it was trained on synthetic tracks, the champion, version {incumbent}, on real ones", incumbent
        )
    return None


def by_comparison(comparison: Comparison, incumbent: int) -> Decision:
    """Decide by the answers of both to the same tracks: the candidate must be better beyond chance."""
    found = comparison
    counts = (
        f"of {found.tracks} tracks that neither was trained on {found.candidate} are right with it alone and "
        f"{found.incumbent} with the champion alone, version {incumbent}"
    )
    if found.tracks < LEAST_TRACKS:
        few = f"only {found.tracks} tracks are left that neither was trained on, and {LEAST_TRACKS} are needed"
        return Decision(False, few, incumbent, found)
    if found.p_value < SIGNIFICANT:
        return Decision(True, f"it is better: {counts} (p = {found.p_value:.2g})", incumbent, found)
    verdict = "it is not better" if found.difference <= 0 else "it may be better by chance"
    return Decision(False, f"{verdict}: {counts} (p = {found.p_value:.2g})", incumbent, found)
