"""Applies the rule in `decision` to a version, moves the alias and records the reason.

The comparison with the champion takes several seconds and runs without the lock. The decision is then applied under the
lock if the champion is still the same; otherwise, a new decision is made. If two searches promote at the same time, one
version wins and the other is compared with it. The decision is recorded in tags of the version and of its search's run,
together with the user who made it and any reason that they gave. The numbers in these tags are also logged as metrics
of that run.
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
from raygenre.evaluation.head_to_head import compare_with_champion
from raygenre.evaluation.paired_test import PairedTest
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.model.classifier import Classifier
from raygenre.registry import champion, promotion_lock, versions
from raygenre.registry.champion import Incumbent
from raygenre.registry.decision import PromotionDecision, decide
from raygenre.registry.versions import MODEL, RegistryError
from raygenre.tracking.retries import TrackingUnreachableError
from raygenre.tracking.server import Server
from raygenre.tracking.server_errors import is_missing, is_unreachable, meaning, reason

TEXT_TAGS = ("promoted", "promotion_reason", "promotion_forced", "promotion_by", "promotion_when", "compared_with")
USER_REASON_TAG = "promotion_user_reason"  # set only if the user gave a reason
NUMBER_TAGS = (
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
"""Tags for a version and for the run of its search; numeric values are also logged as metrics of that run."""

Data = Callable[[], Dataset]
"""A function that loads the candidate's data set; if that fails, it raises ValueError or OSError with the remedy."""


def promote_if_better(
    server: Server,
    version: int,
    candidate: Classifier,
    facts: VersionFacts | None,
    *,
    data: Data,
    force: bool | None = None,
    user_reason: str = "",
) -> PromotionDecision:
    """Decide whether a registered version becomes the champion, move the alias if so, and record the decision.

    Args:
        data: function that loads the data set; called only if the two versions have to be compared.
        force: True always makes the version the champion, False never does, and None applies the rule.
        user_reason: the user's own reason for the decision, which is recorded with it.

    Raises:
        MlflowException, TrackingUnreachableError: the registry is unreachable.
        LockLostError: another process holds the lock on the server, and this user may not delete it.
    """
    client = server.client

    def compare(incumbent: int) -> PairedTest:
        return _compare(server, candidate, incumbent, data)

    while True:  # until the champion stays the same during a comparison
        incumbent = champion.incumbent_of(client)
        decision = decide(version, facts, incumbent, compare, force=force)
        with promotion_lock.hold(client) as still_held:
            current = champion.incumbent_of(client)
            if _version(current) != _version(incumbent):
                continue
            if current and current.has_alias and decision.incumbent == version:
                return decision
            # The decision is recorded before the alias is moved, because candidates cannot be compared with a champion
            # that lacks these tags.
            decision = replace(decision, note_error=_record(client, version, decision, user_reason))
            if decision.promote:
                try:
                    champion.move(client, version, _version(incumbent), still_held=still_held)
                except promotion_lock.LockLostError:
                    continue
            return decision


def _compare(server: Server, candidate: Classifier, incumbent: int, data: Data) -> PairedTest:
    """Run the paired test of the candidate against a registered version.

    Raises:
        RegistryError, ValueError, OSError: the two cannot be compared.
        TrackingUnreachableError: the registry is unreachable, so no decision is made.
    """
    try:
        classifier = versions.fetch(server, f"models:/{MODEL}/{incumbent}").classifier
    except RegistryError as error:
        if is_unreachable(error.__cause__ or error):
            raise TrackingUnreachableError(
                f"{error}; the version is registered and can be promoted later with `raygenre promote VERSION`"
            ) from error
        raise
    return compare_with_champion(candidate, classifier, data, name=f"the champion, version {incumbent}")


def _version(incumbent: Incumbent | None) -> int | None:
    return incumbent.version if incumbent else None


def _record(client: MlflowClient, version: int, decision: PromotionDecision, user_reason: str) -> str:
    """Record the decision in tags. Return why the search's run could not be tagged, or "" if it was tagged."""
    texts = (
        str(decision.promote).lower(),
        decision.reason,
        str(decision.forced).lower(),
        promotion_lock.local_user(),
        datetime.now(UTC).isoformat(timespec="seconds"),
        str(decision.incumbent or "nobody"),
    )
    numbers: dict[str, float] = {}
    if test := decision.comparison:
        counts = (test.tracks, test.both, test.only_candidate, test.only_incumbent, test.neither)
        numbers = dict(zip(NUMBER_TAGS, (*counts, test.p_value, test.difference, *test.interval), strict=True))
    tags = dict(zip(TEXT_TAGS, texts, strict=True)) | {name: f"{value:.6g}" for name, value in numbers.items()}
    if user_reason:
        tags[USER_REASON_TAG] = user_reason
    outdated = {*TEXT_TAGS, USER_REASON_TAG, *NUMBER_TAGS} - tags.keys()  # left by an earlier decision
    registered = client.get_model_version(MODEL, str(version))
    for tag, text in tags.items():
        client.set_model_version_tag(MODEL, registered.version, tag, text)
    # Tags are set to "" because permission to edit a model does not include deleting its tags.
    for tag in outdated & registered.tags.keys():
        client.set_model_version_tag(MODEL, registered.version, tag, "")
    try:
        if search := _search_run(client, registered):
            _record_in_search(client, search, {**tags, "model_version": str(version)}, numbers, decision.incumbent or 0)
    except MlflowException as error:
        # A user who may edit the model may lack permission to edit the search's run, whose tags are only copies.
        if meaning(error) == "unreachable":
            raise
        return reason(error)
    return ""


def _record_in_search(
    client: MlflowClient, search: Run, tags: Mapping[str, str], numbers: Mapping[str, float], incumbent: int
) -> None:
    # The step of these metrics is the champion's version number, because later decisions involve later champions.
    now = int(time.time() * 1000)
    client.log_batch(
        search.info.run_id,
        metrics=[Metric(name, value, now, incumbent) for name, value in numbers.items()],
        tags=[RunTag(tag, text) for tag, text in tags.items()],
    )
    for tag in (
        {*TEXT_TAGS, USER_REASON_TAG, *NUMBER_TAGS} - tags.keys()
    ) & search.data.tags.keys():  # left by an earlier decision
        client.delete_tag(search.info.run_id, tag)


def _search_run(client: MlflowClient, version: ModelVersion) -> Run | None:
    """Return the run of the search that produced a version, or None if that run was deleted."""
    try:
        parent = client.get_run(version.run_id).data.tags.get(MLFLOW_PARENT_RUN_ID) if version.run_id else None
        run = client.get_run(parent) if parent else None
    except MlflowException as error:
        if is_missing(error):
            return None
        raise
    return run if run and run.info.lifecycle_stage == LifecycleStage.ACTIVE else None
