"""The main job, from a data folder to a champion: open the study, search, judge the candidate, register it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console

from raygenre.data import splits
from raygenre.data.dataset import Dataset
from raygenre.data.duplicates import read_duplicates
from raygenre.data.split_summary import test_digest
from raygenre.data.splits import Split
from raygenre.errors import RaygenreError
from raygenre.evaluation import html_report, plots, tables
from raygenre.evaluation.evaluate import evaluate_classifier
from raygenre.evaluation.metrics import Evaluation
from raygenre.evaluation.slices import Known
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.model.calibration import calibrate
from raygenre.model.classifier import Classifier
from raygenre.model.flops import flops
from raygenre.model.input_drift import Reference
from raygenre.model.network import parameters
from raygenre.model.seen_tracks import SeenTracks
from raygenre.registry import evaluation_log, promotion, versions
from raygenre.registry.decision import PromotionDecision
from raygenre.registry.promotion_lock import LockLostError
from raygenre.registry.versions import Fetched
from raygenre.search.run import Candidate, run_search
from raygenre.search.space.config import Resources, SearchConfig
from raygenre.search.study.backend import StudyError
from raygenre.search.study.ledger import Ledger
from raygenre.search.summary.search_run import SearchRunLogger
from raygenre.search.tracking_session import tracking_session
from raygenre.system.location import Location
from raygenre.system.storage import Storage
from raygenre.tracking.server import TrackingUnreachableError, no_retries
from raygenre.tracking.tracker import Tracker
from raygenre.training import checkpoint


class PromotionPendingError(RaygenreError, RuntimeError):
    """The model is registered, but whether it becomes the champion could not be decided; the message says why.

    Attributes:
        version: of the model.
    """

    def __init__(self, version: int, why: str) -> None:
        super().__init__(f"version {version} is registered, but the champion could not be changed: {why}")
        self.version = version


@dataclass(frozen=True)
class Outcome:
    """What the main job ended with.

    Attributes:
        candidate: the search's result.
        evaluation: on the test tracks, which were touched for this alone.
        version: of the registered model.
        champion: whether it became the champion, and why.
        parent: key of the search's run, see `Tracker`.
        parameters, flops: size of the network.
    """

    candidate: Candidate
    evaluation: Evaluation
    version: int
    champion: PromotionDecision
    parent: str
    parameters: int
    flops: int


def make_split(
    dataset: Dataset, config: SearchConfig, *, lists: Path | None, duplicates: Path | None, keep_duplicates: bool
) -> Split:
    """Divide the tracks as the options say.

    Raises:
        ValueError: options that do not go together, or data too small for them.
    """
    if keep_duplicates and duplicates:
        raise ValueError("--duplicates and --keep-duplicates exclude each other")
    if (config.split == "lists") != (lists is not None):
        raise ValueError("--split lists and --split-lists DIR go together")
    known = None if keep_duplicates else read_duplicates(duplicates) if duplicates else []
    if lists:
        return splits.given_split(
            dataset,
            lists,
            seed=config.seed,
            folds=config.folds,
            validation=config.validation,
            duplicates=known,
        )
    return splits.random_split(
        dataset, seed=config.seed, folds=config.folds, validation=config.validation, duplicates=known
    )


def run(
    ledger: Ledger,
    dataset: Dataset,
    storage: Storage,
    *,
    resources: Resources,
    promote: bool | None,
    console: Console,
) -> Outcome:
    """Search, train the winner, evaluate it once on the test tracks, register it and decide about the champion.

    Args:
        promote: True and False force and forbid the champion's change, None lets the evidence decide.

    Raises:
        StudyError: the data are not those that the study was begun with.
        TrackingUnreachableError: MLflow was away when the model was to be registered; everything so far is kept.
        PromotionPendingError: somebody else is changing the champion, and does not end; all but that is done.
        KeyboardInterrupt: Ctrl-C; everything so far is kept.
    """
    if dataset.digest != ledger.config.data_digest:
        raise StudyError(f"the data in {dataset.source} are not those that the study {ledger.name} was begun with")
    with tracking_session(ledger, storage, console) as tracker:
        record = SearchRunLogger(ledger, dataset, tracker, resources)
        candidate = run_search(ledger, dataset, resources=resources, tracker=tracker, record=record, console=console)
        judged = _judge(ledger, dataset, storage, tracker, record.run, candidate, console)
    version, classifier, evidence, evaluation = judged
    try:  # behind the runs' end: a search whose model is registered is done, whatever becomes of the champion
        with no_retries():
            decision = promotion.promote_if_better(
                storage, version, classifier, evidence, data=lambda: dataset, force=promote
            )
    except LockLostError as error:
        raise PromotionPendingError(version, str(error)) from error
    return Outcome(candidate, evaluation, version, decision, record.run, **_size(classifier))


def _judge(
    ledger: Ledger,
    dataset: Dataset,
    storage: Storage,
    tracker: Tracker,
    parent: str,
    candidate: Candidate,
    console: Console,
) -> tuple[int, Classifier, VersionFacts, Evaluation]:
    """Evaluate the candidate and register it; return its version and what is known of it."""
    final = candidate.final
    folder = ledger.folder / final.name / "classifier"
    if not folder.exists():
        _classifier(ledger, dataset, candidate, parent).save(folder)
    classifier = Classifier.load(folder)
    appraisal = evaluate_classifier(classifier, dataset, "test", _known(ledger.config, console))
    evaluation = appraisal.evaluation
    evidence = VersionFacts(
        test_accuracy=evaluation.accuracy,
        test_digest=test_digest(ledger.split.test, dataset.digest),
        synthetic=dataset.synthetic,
        study=ledger.name,
        sha256=classifier.sha256,
        test_tracks=evaluation.tracks,
        genres=len(dataset.genres),
        data=dataset.source,
        data_digest=dataset.digest,
    )

    def register() -> int:
        # A resumed search with more trials may have another winner: what was tested last is what MLflow shows.
        for run, step in ((final.run, 0), (parent, len(ledger.trials))):
            tracker.log_missing(run, [{**appraisal.numbers(), "epoch": step}])
            tracker.figure(run, plots.confusion_figure(evaluation), "confusion.png")
            tracker.figure(run, plots.reliability_figure(evaluation), "reliability.png")
            tracker.text(run, tables.confusion_csv(evaluation), "confusion.csv")
        tracker.text(final.run, tables.appraisal_json(appraisal), evaluation_log.NUMBERS)
        tracker.end(final.run, "FINISHED", tags=_size(classifier))
        tracker.end(parent, "FINISHED")
        if not tracker.drain():
            trouble = tracker.trouble or "it takes too long"  # without an error
            raise TrackingUnreachableError(f"MLflow at {tracker.uri} is away ({trouble}): no model can be registered")
        version = versions.register(storage, tracker.run_id(final.run), folder, evidence)
        fetched = Fetched(classifier, f"{versions.MODEL}/{version}", tracker.run_id(final.run), evidence)
        evaluation_log.attach_report(
            storage, fetched, html_report.page(appraisal, name=fetched.name, evidence=evidence)
        )
        return version

    version: int = ledger.recall(f"{final.name}-version", register)
    for run in (final.run, parent):
        if not tracker.ended(run):
            tracker.end(run, "FINISHED")
    return version, classifier, evidence, evaluation


def _size(classifier: Classifier) -> dict[str, int]:
    return {"parameters": parameters(classifier.model), "flops": flops(classifier.model.config)}


def _known(config: SearchConfig, console: Console) -> Known:
    """The copies that the split was drawn with, which the report tells apart, if their file is still there."""
    if not config.duplicates:
        return Known()
    try:
        return Known(duplicates=read_duplicates(Path(config.duplicates)))
    except (OSError, ValueError) as error:
        console.print(f"The report says nothing of known copies: {error}", highlight=False, markup=False)
        return Known()


def _classifier(ledger: Ledger, dataset: Dataset, candidate: Candidate, parent: str) -> Classifier:
    with _state(candidate.final.place) as state:
        model = checkpoint.network(state)
    # The final network has no held-out tracks; those of the same setting trained again have, and are of its kind.
    held_out = []
    for place in candidate.reruns:
        with _state(place) as state:
            held_out.append(checkpoint.validation_logits(state, dataset.labels))
    logits, labels = (torch.cat(parts) for parts in zip(*held_out, strict=True))
    train, test = (splits.indices(dataset, side) for side in (ledger.split.train, ledger.split.test))
    seen = SeenTracks.of(dataset.tracks, dataset.levels, train=train, test=test)
    origin = {
        "study": ledger.name,
        "mlflow_run": candidate.final.run,
        "mlflow_search": parent,
        "data_digest": dataset.digest,
        "synthetic": dataset.synthetic,
        "setting": asdict(candidate.winner.setting),
        "calibrated_on": len(labels),
        "train_counts": {genre: int((dataset.labels[train] == i).sum()) for i, genre in enumerate(dataset.genres)},
        "protocol": {
            name: getattr(ledger.config, name)
            for name in ("split", "seed", "folds", "validation", "trials", "epochs", "top_k", "keep_duplicates")
        },
        "level_distribution": Reference.of(dataset.levels[train]).to_json(),
    }
    return Classifier(model, dataset.genres, calibrate(logits, labels), origin, seen=seen)


@contextmanager
def _state(place: Location) -> Iterator[Path]:
    with checkpoint.local_copy(place) as folder:
        if not (state := checkpoint.latest(folder)):
            raise FileNotFoundError(f"{place} holds no training state")
        yield state
