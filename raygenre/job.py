"""The main job, from a data folder to a champion: open the study, search, judge the candidate, register it."""

from dataclasses import asdict, dataclass
from importlib.metadata import version as installed_version
from pathlib import Path

import torch
from rich.console import Console

from raygenre import registry, report, splits, training_state
from raygenre.calibration import calibrate
from raygenre.classifier import Classifier
from raygenre.dataset import Dataset
from raygenre.drift import Reference
from raygenre.duplicates import read_duplicates
from raygenre.evaluation import Evaluation, evaluate
from raygenre.evidence import Decision, Evidence, decide, test_digest
from raygenre.model import flops, parameters
from raygenre.search import run_file
from raygenre.search.config import Resources, SearchConfig
from raygenre.search.folder import StudyError
from raygenre.search.ledger import Ledger
from raygenre.search.run import Candidate, run_search
from raygenre.search.tracked import tracked
from raygenre.splits import Split
from raygenre.storage import Storage
from raygenre.tracking import Tracker
from raygenre.tracking_server import ServerAwayError


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
    champion: Decision
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
        promote: True and False force and forbid the champion's change, None lets the test accuracy decide.

    Raises:
        StudyError: the data are not those that the study was begun with.
        ServerAwayError: MLflow was away when the model was to be registered; everything so far is kept.
        KeyboardInterrupt: Ctrl-C; everything so far is kept.
    """
    if dataset.digest != ledger.config.data_digest:
        raise StudyError(f"the data in {dataset.source} are not those that the study {ledger.name} was begun with")
    with tracked(ledger, storage, console) as tracker:
        parent = _start(tracker, ledger, dataset)
        tracker.text(parent, run_file.write(ledger.config), run_file.NAME)
        candidate = run_search(ledger, dataset, resources=resources, tracker=tracker, parent=parent, console=console)
        return _judge(ledger, dataset, storage, tracker, parent, candidate, promote)


def _judge(
    ledger: Ledger,
    dataset: Dataset,
    storage: Storage,
    tracker: Tracker,
    parent: str,
    candidate: Candidate,
    promote: bool | None,
) -> Outcome:
    final = candidate.final
    folder = final.folder / "classifier"
    if not folder.exists():
        _classifier(ledger, dataset, candidate, parent).save(folder)
    classifier = Classifier.load(folder)
    chosen = splits.indices(dataset, ledger.split.test)
    evaluation = evaluate(classifier, dataset.levels[chosen], dataset.labels[chosen])
    low, high = evaluation.interval
    values = {
        "test_accuracy": evaluation.accuracy,
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        "test_certain_share": float(evaluation.certain.mean()),
        "test_calibration_error": evaluation.calibration_error,
    }
    if evaluation.certain.any():
        values["test_certain_accuracy"] = evaluation.certain_accuracy
    size = {"parameters": parameters(classifier.model), "flops": flops(classifier.model)}
    evidence = Evidence(
        test_accuracy=evaluation.accuracy,
        test_digest=test_digest(ledger.split.test, dataset.digest),
        synthetic=dataset.synthetic,
        study=ledger.name,
        sha256=classifier.sha256,
    )

    def register() -> int:
        # A resumed search with more trials may have another winner: what was tested last is what MLflow shows.
        for run, step in ((final.run, 0), (parent, len(ledger.trials))):
            tracker.log_missing(run, [{**values, "epoch": step}])
            tracker.figure(run, report.confusion_figure(evaluation), "confusion.png")
            tracker.text(run, report.confusion_csv(evaluation), "confusion.csv")
        tracker.end(final.run, "FINISHED", tags=size)
        tracker.end(parent, "FINISHED")
        if not tracker.drain():
            raise ServerAwayError(f"MLflow at {tracker.uri} is away ({tracker.trouble}): no model can be registered")
        return registry.register(storage, tracker.run_id(final.run), folder, evidence)

    version: int = ledger.recall(f"{final.name}-version", register)
    for run in (final.run, parent):
        if not tracker.ended(run):
            tracker.end(run, "FINISHED")
    decision = _decide(storage, version, evidence, promote)
    tracker.tag(parent, {"model_version": version, "champion": decision.promote, "champion_reason": decision.reason})
    return Outcome(candidate, evaluation, version, decision, parent, **size)


def _decide(storage: Storage, version: int, evidence: Evidence, promote: bool | None) -> Decision:
    incumbent = registry.champion(storage)
    if incumbent and incumbent[0] == version:
        return Decision(True, "it is the champion already")
    if promote is not None:
        decision = Decision(promote, "--promote was given" if promote else "--no-promote was given")
    elif incumbent is None:
        decision = Decision(True, "there was no champion")
    elif incumbent[1] is None:
        decision = Decision(False, f"nothing is known of the champion's test (version {incumbent[0]})")
    else:
        decision = decide(evidence, incumbent[1])
    if decision.promote:
        registry.promote(storage, version)
    return decision


def _classifier(ledger: Ledger, dataset: Dataset, candidate: Candidate, parent: str) -> Classifier:
    state = training_state.latest(candidate.final.folder)
    if state is None:
        raise FileNotFoundError(f"{candidate.final.folder} holds no training state")
    model = training_state.network(state)
    # The final network has no held-out tracks; those of the same setting trained again have, and are of its kind.
    states = [training_state.latest(folder) for folder in candidate.reruns]
    held_out = [training_state.held_out(path, dataset.labels) for path in states if path]
    logits, labels = (torch.cat(parts) for parts in zip(*held_out, strict=True))
    origin = {
        "study": ledger.name,
        "mlflow_run": candidate.final.run,
        "mlflow_search": parent,
        "data_digest": dataset.digest,
        "synthetic": dataset.synthetic,
        "setting": asdict(candidate.winner.setting),
        "calibrated_on": len(labels),
        "level_distribution": Reference.of(dataset.levels[splits.indices(dataset, ledger.split.train)]).to_json(),
    }
    return Classifier(model, dataset.genres, calibrate(logits, labels), origin)


def _start(tracker: Tracker, ledger: Ledger, dataset: Dataset) -> str:
    facts = {
        "study": ledger.name,
        "synthetic": dataset.synthetic,
        "train_tracks": len(ledger.split.train),
        "test_tracks": len(ledger.split.test),
        **{f"version.{name}": installed_version(name) for name in ("raygenre", "ray", "torch", "optuna")},
    }
    run = tracker.start(ledger.name, "search", tags=asdict(ledger.config) | facts | {"study_id": ledger.id})
    tracker.tag(run, {"trials": ledger.config.trials})  # which a resumed search may have raised
    tracker.text(run, ledger.split.to_json(), "split.json")
    if dataset.broken:
        lines = "\n".join(f"{file.path}: {file.reason}" for file in dataset.broken)
        tracker.text(run, f"{len(dataset.broken)} files were left out\n{lines}\n", "broken_files.txt")
    return run
