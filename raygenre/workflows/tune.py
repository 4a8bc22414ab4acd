"""The main job of `raygenre tune`: search, evaluate, register, decide on the champion."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raygenre.data import splits
from raygenre.data.dataset import Dataset
from raygenre.data.duplicates import read_duplicates
from raygenre.data.inputs import inputs_of
from raygenre.data.split_summary import tracks_digest
from raygenre.errors import RaygenreError
from raygenre.evaluation import plots, tables
from raygenre.evaluation.chance import guessing_rate
from raygenre.evaluation.evaluate import evaluate_classifier
from raygenre.evaluation.html_report import report_page
from raygenre.evaluation.metrics import Evaluation
from raygenre.evaluation.slices import TrackFacts
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.inputs import kinds
from raygenre.inputs.kind import InputKind
from raygenre.inputs.levels import LEVELS
from raygenre.model.classifier import Classifier
from raygenre.model.flops import flops
from raygenre.model.network import parameter_count
from raygenre.registry import evaluation_log, promotion, versions
from raygenre.registry.decision import PromotionDecision
from raygenre.registry.promotion_lock import LockLostError
from raygenre.registry.versions import Fetched
from raygenre.search.controls import Controls, SearchStopped
from raygenre.search.run import Candidate, run_search, search_timer
from raygenre.search.space.choices import MAX_FAILURES
from raygenre.search.space.config import Resources, SearchConfig
from raygenre.search.study.backend import StudyError
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.study_attributes import get_or_compute
from raygenre.search.summary.search_run import SearchRunLogger
from raygenre.search.tracking_session import tracking_session
from raygenre.search.trials.phases import Display
from raygenre.search.trials.search_timer import SearchTimer
from raygenre.tracking.retries import TrackingUnreachableError, no_retries
from raygenre.tracking.server import Server
from raygenre.tracking.tracker import Tracker
from raygenre.training.member import Inputs
from raygenre.workflows.build_classifier import build_classifier


class PromotionPendingError(RaygenreError, RuntimeError):
    """The model is registered, but the champion could not be changed; the message explains why.

    Attributes:
        version: version number of the model.
    """

    def __init__(self, version: int, reason: str) -> None:
        super().__init__(f"version {version} is registered, but the champion could not be changed: {reason}")
        self.version = version


@dataclass(frozen=True)
class Outcome:
    """The result of the main job.

    Attributes:
        candidate: result of the search.
        evaluation: evaluation on the test tracks, which are used for nothing else.
        version: version number of the registered model.
        champion: decision on whether the model became the champion, with the reason.
        parent: key of the search's run; see `Tracker`.
        parameters, flops: size of the network.
    """

    candidate: Candidate
    evaluation: Evaluation
    version: int
    champion: PromotionDecision
    parent: str
    parameters: int
    flops: int


@dataclass(frozen=True)
class _Trained:
    """The result of a search, with the input of its networks."""

    candidate: Candidate
    inputs: Inputs
    kind: InputKind


def run(
    ledger: Ledger,
    dataset: Dataset,
    server: Server,
    *,
    resources: Resources,
    promote: bool | None,
    display: Display,
    max_failures: int = MAX_FAILURES,
    controls: Controls | None = None,
) -> Outcome:
    """Search, train the winner, evaluate it once on the test tracks, register it and decide on the champion.

    Args:
        promote: True forces the promotion, False prevents it; None promotes the model if it is better.
        max_failures: number of trials in a row that may fail for the same reason; 0 for no limit.
        controls: see `run_search`.

    Raises:
        SearchStopped: the search was stopped through `controls` before it had a model; everything is saved.
        SearchFailedError: too many trials in a row failed for one reason, no trial completed, or every finalist failed.
        StudyError: the data differs from the data of the study.
        PretrainedError: the study uses pretrained features, and the pretrained network is not installed.
        TrackingUnreachableError: MLflow is unreachable when the model has to be registered; all results are saved.
        PromotionPendingError: another process holds the promotion lock; everything else is done.
        KeyboardInterrupt: the user pressed Ctrl-C; all results so far are saved.
    """
    if dataset.digest != ledger.config.data_digest:
        raise StudyError(
            f"the data in {dataset.source} has changed since the study {ledger.name} was created; "
            "restore it, or start a new study"
        )
    kind = kinds.installed(ledger.config.input)
    inputs = _inputs(dataset, kind, display)
    with tracking_session(ledger, server, display) as tracker:
        record = SearchRunLogger(ledger, dataset, tracker, resources)
        timer = search_timer(ledger, resources)
        try:
            candidate = run_search(
                ledger,
                dataset,
                inputs,
                resources=resources,
                tracker=tracker,
                record=record,
                display=display,
                timer=timer,
                max_failures=max_failures,
                controls=controls,
            )
            trained = _Trained(candidate, inputs, kind)
            registered = _register(ledger, dataset, server, tracker, record.run, trained, display, timer)
        except SearchStopped:
            raise
        except Exception as error:
            record.problem(error)
            raise
    version, classifier, facts, evaluation = registered
    try:  # only after the runs have ended, so that a failed promotion does not mark the search as failed
        with no_retries(), timer.phase(display, "champion", "compare with the champion"):
            decision = promotion.promote_if_better(
                server, version, classifier, facts, data=lambda: dataset, force=promote
            )
    except LockLostError as error:
        raise PromotionPendingError(version, str(error)) from error
    return Outcome(candidate, evaluation, version, decision, record.run, **_size(classifier))


def _register(
    ledger: Ledger,
    dataset: Dataset,
    server: Server,
    tracker: Tracker,
    parent: str,
    trained: "_Trained",
    display: Display,
    timer: SearchTimer,
) -> tuple[int, Classifier, VersionFacts, Evaluation]:
    """Evaluate the candidate and register it; return its version, classifier, facts and evaluation."""
    candidate, final = trained.candidate, trained.candidate.final
    folder = ledger.folder / final.name / "classifier"
    with timer.phase(display, "evaluation", f"{len(ledger.split.test)} test tracks") as phase:
        if not folder.exists():
            build_classifier(ledger, dataset, trained.inputs, trained.kind, candidate, parent).save(folder)
        classifier = Classifier.load(folder)
        report = evaluate_classifier(classifier, dataset, "test", _known_duplicates(ledger.config, display))
        evaluation = report.evaluation
        phase.result = f"accuracy {evaluation.accuracy:.1%}"
    validation = [track for fold in ledger.split.folds for track in fold.validation]
    facts = VersionFacts(
        test_accuracy=evaluation.accuracy,
        test_digest=tracks_digest(ledger.split.test, dataset.digest),
        synthetic=dataset.synthetic,
        study=ledger.name,
        sha256=classifier.sha256,
        test_tracks=evaluation.tracks,
        genres=len(dataset.genres),
        data=dataset.source,
        data_digest=dataset.digest,
        test_guessing=_guessing_rate(dataset, ledger.split.test),
        validation_accuracy=candidate.winner.accuracy,
        validation_tracks=len(validation),
        validation_guessing=_guessing_rate(dataset, validation),
    )

    def register() -> int:
        # A resumed search with more trials may have a different winner, so MLflow shows the latest evaluation.
        for run, step in ((final.run, 0), (parent, len(ledger.trials))):
            tracker.log_missing(run, [{**report.mlflow_metrics(), "epoch": step}])
            tracker.log_figure(run, plots.confusion_figure(evaluation), "confusion.png")
            tracker.log_figure(run, plots.reliability_figure(evaluation), "reliability.png")
            tracker.log_text(run, tables.confusion_csv(evaluation), "confusion.csv")
        tracker.log_text(final.run, tables.report_json(report), evaluation_log.JSON_FILE)
        tracker.end(final.run, "FINISHED", tags=_size(classifier))
        tracker.end(parent, "FINISHED")
        if not tracker.flush():
            why = tracker.unreachable_reason or "the upload is taking too long"  # the default if no error occurred
            raise TrackingUnreachableError(f"MLflow at {tracker.uri} is unreachable ({why}): cannot register the model")
        version = versions.register(server, tracker.run_id(final.run), folder, facts)
        fetched = Fetched(classifier, f"{versions.MODEL}/{version}", tracker.run_id(final.run), facts)
        evaluation_log.attach_report(server, fetched, report_page(report, name=fetched.name, facts=facts))
        return version

    with timer.phase(display, "registration", "upload to MLflow") as phase:
        version: int = get_or_compute(ledger, f"{final.name}-version", register)
        phase.result = f"model {versions.MODEL} version {version}"
    for run in (final.run, parent):
        if not tracker.is_finished(run):
            tracker.end(run, "FINISHED")
    return version, classifier, facts, evaluation


def _inputs(dataset: Dataset, kind: InputKind, display: Display) -> Inputs:
    """Return the input of all tracks: the existing levels, or features that are computed or read from the cache."""
    if kind is LEVELS:
        return dataset.levels
    with display.phase("features", f"of {len(dataset.tracks)} tracks, from the pretrained network") as phase:
        return inputs_of(dataset, kind, progress=lambda done, total: phase.update(done, total, "tracks"))


def _guessing_rate(dataset: Dataset, tracks: Sequence[str]) -> float:
    labels = dataset.labels[splits.indices(dataset, tracks)]
    return guessing_rate(np.bincount(labels, minlength=len(dataset.genres)).tolist())


def _size(classifier: Classifier) -> dict[str, int]:
    return {"parameters": parameter_count(classifier.model), "flops": flops(classifier.model.config)}


def _known_duplicates(config: SearchConfig, display: Display) -> TrackFacts:
    """Return the duplicates that the split took into account, for the report; none if their file is now unreadable."""
    if not config.duplicates:
        return TrackFacts()
    try:
        return TrackFacts(duplicates=read_duplicates(Path(config.duplicates)))
    except (OSError, RaygenreError) as error:
        display.info("report", f"without known duplicates: {error}")
        return TrackFacts()
