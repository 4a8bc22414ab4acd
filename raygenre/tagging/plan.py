"""Decide whether to write a song's genre or leave the file unchanged, and give the reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from raygenre.tagging.formats.base import Provenance
from raygenre.tagging.open_tags import Present

Action = Literal["write", "keep", "uncertain", "same", "fail"]


@dataclass(frozen=True)
class Plan:
    """What to do with one file.

    Attributes:
        path: the file, as the user named it.
        action: `write`: the genres are written; `keep`: the file already has a genre; `uncertain`: the model is
            uncertain; `same`: the file already has these genres; `fail`: see `reason`.
        present: the genres that the file has.
        genres: the user's names for the predicted genre; empty if no prediction was needed.
        confidence: probability of the predicted genre; None if no prediction was needed.
        reason: why the file is left unchanged (a few words for a table, except after a failure); empty if it is
            written.
        provenance: the file's provenance fields; empty if they were not needed.
    """

    path: Path
    action: Action
    present: tuple[str, ...] = ()
    genres: tuple[str, ...] = ()
    confidence: float | None = None
    reason: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)


def plan_before_prediction(path: Path, present: Present, *, overwrite: bool) -> Plan | None:
    """Return the plan for a file, or None if the plan depends on the prediction."""
    if present.is_elsewhere:
        return Plan(path, "keep", present.genres, reason="kept: stored elsewhere")
    if present.genres and not overwrite:
        return Plan(path, "keep", present.genres, reason="kept")
    return None


def plan_with_prediction(
    path: Path, present: Present, names: Sequence[str], *, confidence: float, uncertain: bool
) -> Plan:
    """Return the plan for a file, given its prediction.

    Args:
        names: the user's names for the predicted genre.
    """
    genres = tuple(names)
    if uncertain:
        return Plan(path, "uncertain", present.genres, genres, confidence, "uncertain")
    if genres == present.genres:
        return Plan(path, "same", present.genres, genres, confidence, "same", present.provenance)
    return Plan(path, "write", present.genres, genres, confidence)


def with_provenance(plan: Plan, model: str) -> Plan:
    """Include the provenance in a plan: a file is rewritten even if only its provenance differs.

    Args:
        model: the model's name.
    """
    if plan.action != "same" or plan.provenance == Provenance(model, plan.confidence or 0.0).texts():
        return plan
    return replace(plan, action="write", reason="")
