"""Predict the genres of songs, and plan or write the genre tags."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from os import path as os_path
from pathlib import Path
from typing import TYPE_CHECKING

from raygenre.errors import reason_of
from raygenre.tagging.formats.base import Provenance, TagError
from raygenre.tagging.log import TagLog
from raygenre.tagging.open_tags import Present, present_genre
from raygenre.tagging.plan import Plan, plan_before_prediction, plan_with_prediction
from raygenre.tagging.replacement import check_replaceable, remove_abandoned
from raygenre.tagging.write import write_genres

if TYPE_CHECKING:
    from raygenre.workflows.predict import SongResult
    from raygenre.workflows.prediction_cache import PredictionCache

Predict = Callable[[Sequence[Path]], Generator["SongResult", None, None]]
"""Predicts files in order, as `raygenre.workflows.predict.predict_songs` does."""


def survey(songs: Sequence[Path], *, overwrite: bool) -> Iterator[tuple[Path, Plan | Present]]:
    """Yield the plan for each song, or its current genre if the plan depends on the prediction.

    Only songs whose plan depends on the prediction have to be decoded.
    """
    for song in songs:
        try:
            present = present_genre(song)
            plan = plan_before_prediction(song, present, overwrite=overwrite)
            if plan is None:
                check_replaceable(song)
        except (OSError, TagError) as error:
            yield song, Plan(song, "fail", reason=reason_of(error))
            continue
        yield song, plan or present


def plans(
    surveyed: Mapping[Path, Plan | Present], predict: Predict, names: Mapping[str, Sequence[str]]
) -> Generator[Plan, None, None]:
    """Yield the plan for each song, in the order of the songs. Closing the iterator stops the predictions.

    Args:
        surveyed: the result of `survey`.
        names: the user's names for the model's genres; other genres keep the model's names.
    """
    unknown = [song for song, plan in surveyed.items() if isinstance(plan, Present)]
    with closing(predict(unknown)) as results:
        for plan in surveyed.values():
            yield plan if isinstance(plan, Plan) else _plan(next(results), plan, names)


def apply(plan: Plan, log: TagLog, *, model: str | None, cache: "PredictionCache | None") -> Plan:
    """Write a plan's genres, and return the plan; if writing fails, return a failed plan with the reason.

    Args:
        model: name of the model, to be written with the confidence; None to write neither.
        cache: cache in which the prediction is also stored for the changed file, so that the file is not decoded again.

    Raises:
        LogError: the log cannot be written.
    """
    if plan.action != "write":
        return plan
    provenance = None if model is None else Provenance(model, plan.confidence or 0.0)
    try:
        record = write_genres(plan.path, plan.genres, log, present=plan.present, provenance=provenance)
    except (OSError, TagError) as error:
        return replace(plan, action="fail", reason=reason_of(error))
    if cache:
        cache.carry_over(record.old_sha256, record.new_sha256)
    return plan


def remove_abandoned_copies(songs: Sequence[Path]) -> None:
    """Delete the copies that killed processes left next to songs."""
    for folder in {Path(os_path.realpath(song)).parent for song in songs}:
        remove_abandoned(folder)


def _plan(result: "SongResult", present: Present, names: Mapping[str, Sequence[str]]) -> Plan:
    prediction = result.prediction
    if prediction is None:
        return Plan(result.path, "fail", present.genres, reason=result.error)
    return plan_with_prediction(
        result.path,
        present,
        names.get(prediction.genre, (prediction.genre,)),
        confidence=prediction.confidence,
        uncertain=prediction.uncertain,
    )
