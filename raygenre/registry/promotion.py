"""Candidates and the champion: who may have the alias, decided with evidence that is kept.

A decision is made against one champion, which takes seconds, and carried out under a lock only if that one is still the
champion; else it is made again. So of two searches that promote at once one wins, and the other was judged against it.
What decided stands in the tags of the version and of its search's run, the numbers among the run's metrics too.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from mlflow.entities import LifecycleStage, Metric, Run, RunTag
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from raygenre.data.dataset import Dataset
from raygenre.evaluation import head_to_head
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.model.classifier import Classifier
from raygenre.registry import champion as alias
from raygenre.registry import promotion_lock
from raygenre.registry import versions as registry
from raygenre.registry.decision import PromotionDecision, by_comparison, by_kind
from raygenre.registry.versions import MODEL, RegistryError
from raygenre.system.storage import Storage
from raygenre.tracking.server import Server, TrackingUnreachableError, is_unreachable, meaning, reason

WORDS = ("promoted", "promotion_reason", "promotion_forced", "promotion_by", "promotion_when", "compared_with")
NUMBERS = (
    "compared_tracks",
    "compared_both_right",
    "compared_only_this_right",
    "compared_only_champion_right",
    "compared_neither_right",
    "compared_p_value",
    "compared_difference",
    "compared_difference_low",
    "compared_difference_high",
)
"""Tags of a version and of its search's run, of which the numbers are metrics there too."""

Data = Callable[[], Dataset]
"""Loads the candidate's data set; raises ValueError or OSError if it cannot, with what to do."""


def promote_if_better(
    storage: Storage,
    version: int,
    candidate: Classifier,
    evidence: VersionFacts | None,
    *,
    data: Data,
    force: bool | None = None,
) -> PromotionDecision:
    """Decide whether a registered version becomes the champion, make it so, and write down why.

    Args:
        data: called only if the two have to be compared.
        force: True and False make and keep it from being the champion, whatever the evidence says.

    Raises:
        MlflowException, TrackingUnreachableError: the registry does not answer.
    """
    client = Server(storage).client
    while True:  # as often as somebody else was faster
        incumbent = alias.incumbent(storage)
        decision = _decide(storage, version, candidate, evidence, incumbent=incumbent, data=data, force=force)
        with promotion_lock.held(client) as still:
            if _number(alias.incumbent(storage)) != _number(incumbent):
                continue
            if decision.incumbent == version and alias.champion(storage):
                return decision
            # First: a champion without its evidence would be judged no more.
            decision = replace(decision, note_error=_note(client, version, decision))
            if decision.promote:
                try:
                    alias.crown(client, version, _number(incumbent), still=still)
                except promotion_lock.LockLostError:
                    continue
            return decision


def _decide(
    storage: Storage,
    version: int,
    candidate: Classifier,
    evidence: VersionFacts | None,
    *,
    incumbent: tuple[int, VersionFacts | None] | None,
    data: Data,
    force: bool | None,
) -> PromotionDecision:
    if incumbent and incumbent[0] == version:
        kept = alias.champion(storage) is not None
        return PromotionDecision(
            True, "it is the champion already" if kept else "the champion after it was deleted", version
        )
    if force is False:
        return PromotionDecision(False, "it was not to be promoted", _number(incumbent), forced=True)
    if incumbent is None:
        return PromotionDecision(True, "there was no champion")
    found = _by_evidence(storage, candidate, evidence, incumbent, data)
    if force and not found.promote:
        return PromotionDecision(
            True, f"forced, although {found.reason}", found.incumbent, found.comparison, forced=True
        )
    return found


def _by_evidence(
    storage: Storage,
    candidate: Classifier,
    evidence: VersionFacts | None,
    incumbent: tuple[int, VersionFacts | None],
    data: Data,
) -> PromotionDecision:
    number, champion = incumbent
    if evidence is None or champion is None:
        which = "this version" if evidence is None else f"the champion, version {number}"
        return PromotionDecision(False, f"nothing is known of how {which} was trained and tested", number)
    if decision := by_kind(evidence, champion, number):
        return decision
    try:
        other = registry.fetch(storage, f"models:/{MODEL}/{number}").classifier
    except RegistryError as error:
        if is_unreachable(error.__cause__ or error):  # no verdict on anybody
            raise TrackingUnreachableError(f"{error}; the version is registered, and can be promoted later") from error
        return PromotionDecision(False, f"the champion, version {number}, cannot be compared with: {error}", number)
    try:
        comparison = head_to_head.compare_with_champion(candidate, other, data, name=f"the champion, version {number}")
    except (ValueError, OSError) as error:
        return PromotionDecision(False, f"it cannot be compared with the champion, version {number}: {error}", number)
    return by_comparison(comparison, number)


def _number(incumbent: tuple[int, VersionFacts | None] | None) -> int | None:
    return incumbent[0] if incumbent else None


def _note(client: MlflowClient, version: int, decision: PromotionDecision) -> str:
    """Write down what was decided; return why the search's run would not have it, empty if it has."""
    words = (
        str(decision.promote).lower(),
        decision.reason,
        str(decision.forced).lower(),
        promotion_lock.person(),
        datetime.now(UTC).isoformat(timespec="seconds"),
        str(decision.incumbent or "nobody"),
    )
    numbers: dict[str, float] = {}
    if found := decision.comparison:
        counts = (found.tracks, found.both, found.candidate, found.incumbent, found.neither)
        numbers = dict(zip(NUMBERS, (*counts, found.p_value, found.difference, *found.interval), strict=True))
    tags = dict(zip(WORDS, words, strict=True)) | {name: f"{value:.6g}" for name, value in numbers.items()}
    earlier = {*WORDS, *NUMBERS} - tags.keys()  # of a decision before this one
    noted = client.get_model_version(MODEL, str(version))
    for tag, text in tags.items():
        client.set_model_version_tag(MODEL, noted.version, tag, text)
    for tag in earlier & noted.tags.keys():  # emptied, not deleted: who may edit may not delete
        client.set_model_version_tag(MODEL, noted.version, tag, "")
    try:
        if search := _search(client, noted):
            _note_in_search(client, search, {**tags, "model_version": str(version)}, numbers, decision.incumbent or 0)
    except MlflowException as error:
        # Who may change the champion need not be one who may write into every search's run, which repeats the tags.
        if meaning(error) == "unreachable":
            raise
        return reason(error)
    return ""


def _note_in_search(
    client: MlflowClient, search: Run, tags: Mapping[str, str], numbers: Mapping[str, float], incumbent: int
) -> None:
    # A metric's step is the champion's version: a later decision is against a later champion.
    now = int(time.time() * 1000)
    client.log_batch(
        search.info.run_id,
        metrics=[Metric(name, value, now, incumbent) for name, value in numbers.items()],
        tags=[RunTag(tag, text) for tag, text in tags.items()],
    )
    for tag in ({*WORDS, *NUMBERS} - tags.keys()) & search.data.tags.keys():  # of a decision before this one
        client.delete_tag(search.info.run_id, tag)


def _search(client: MlflowClient, version: ModelVersion) -> Run | None:
    """The run of the search that a version came from, if MLflow has it still."""
    try:
        parent = client.get_run(version.run_id).data.tags.get(MLFLOW_PARENT_RUN_ID) if version.run_id else None
        run = client.get_run(parent) if parent else None
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return run if run and run.info.lifecycle_stage == LifecycleStage.ACTIVE else None
