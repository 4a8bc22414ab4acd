"""The model card: data, training protocol, calibration, intended use, limits, licence.

The endpoint and the registry provide it as Markdown; the HTML report contains the same sections.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raygenre.evaluation.training_data import TrainingData
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.model.classifier import Classifier
from raygenre.model.head import GenreHead
from raygenre.model.network import parameter_count

_GTZAN = ["blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock"]
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Section:
    """A section of the card: a heading and list items, as plain text."""

    title: str
    lines: tuple[str, ...]


def markdown_card(classifier: Classifier, *, name: str, facts: VersionFacts | None) -> str:
    """Return the model card as Markdown.

    Args:
        name: name of the model, used as the card's heading.
        facts: facts that the registry records about the model; None if it records none.
    """
    parts = [f"# {name}\n\n{introduction(classifier)}\n"]
    for section in sections(classifier, facts):
        lines = "\n".join(f"- {line}" for line in section.lines)
        parts.append(f"## {section.title}\n\n{lines}\n")
    return "\n".join(parts)


def introduction(classifier: Classifier) -> str:
    """Return two sentences that describe the classifier."""
    if isinstance(classifier.model, GenreHead):
        return (
            f"A network with {parameter_count(classifier.model):,} parameters on pretrained features that classifies "
            f"music by genre: {', '.join(classifier.genres)}. "
            "Its input is what MSD_musicnn, a network trained on 200 000 songs, computes for 30 s of audio."
        )
    return (
        f"A convolutional network with {parameter_count(classifier.model):,} parameters that classifies music by "
        f"genre: {', '.join(classifier.genres)}. "
        "Its input is a mel spectrogram of 30 s, computed as in the GTZAN dataset."
    )


def sections(classifier: Classifier, facts: VersionFacts | None) -> tuple[Section, ...]:
    """Return the sections of the card; facts that were not recorded are listed as unknown."""
    return (
        Section("Data", _data(classifier, facts)),
        Section("Protocol", _protocol(classifier, facts)),
        Section("Calibration", _calibration(classifier)),
        Section("Intended use", _USE),
        Section("Limits", _LIMITS),
        Section("Licence", _licence(classifier)),
        Section("Weights", _weights(classifier)),
    )


_USE = (
    "For sorting or exploring a music collection, for research on genre classification, and as a starting point for "
    "further training.",
    "Not for decisions about what people are paid, shown or denied: a prediction is a hint, not a fact about a "
    "recording.",
)
_LIMITS = (
    "It predicts one of these genres for any sound, including speech and noise.",
    "Genres overlap, and some of GTZAN's labels are disputed.",
    "It captures no structure longer than one or two seconds: features are averaged over the whole window.",
    "On music whose region, period or recording technique differs from that of its training tracks, it is less "
    "accurate than in the test.",
)


def _data(classifier: Classifier, facts: VersionFacts | None) -> tuple[str, ...]:
    origin = classifier.origin
    kind = {
        None: _UNKNOWN,
        True: "synthetic tracks; it demonstrates the pipeline and cannot classify real music",
        False: "real tracks",
    }[TrainingData.of(classifier, facts).is_synthetic]
    counts = origin.get("train_counts")
    tracks = [f"Training tracks: {', '.join(f'{genre} {n}' for genre, n in counts.items())}"] if counts else []
    return (
        f"Trained on: {kind} (study {origin.get('study', _UNKNOWN)}, data "
        f"{str(origin.get('data_digest', _UNKNOWN))[:12]})",
        *tracks,
    )


def _protocol(classifier: Classifier, facts: VersionFacts | None) -> tuple[str, ...]:
    test = f"{facts.test_accuracy:.1%} of the test tracks were classified correctly" if facts else _UNKNOWN
    seen = classifier.seen
    split = _UNKNOWN
    if seen:
        split = f"{len(seen.train)} tracks for training and model selection, {len(seen.test)} for testing"
    return (
        f"Split: {split}",
        *_search(classifier.origin),
        f"Test: {test}",
    )


def _search(origin: Mapping[str, Any]) -> tuple[str, ...]:
    protocol = origin.get("protocol")
    if protocol is None:
        return (f"Search: {_UNKNOWN}",)
    split = "read from lists" if protocol["split"] == "lists" else f"random with seed {protocol['seed']}"
    copies = (
        "copies of a recording may be in both the training and the test tracks"
        if protocol["keep_duplicates"]
        else "known copies of a recording are kept together"
    )
    folds, share = protocol["folds"], protocol["validation"]
    validation = f"{folds}-fold cross-validation" if folds > 1 else f"a hold-out set of {share:.0%}"
    return (
        f"The split is {split}; {copies}. Validation: {validation} of the training tracks",
        *(() if origin.get("synthetic") else (_groups(protocol),)),
        f"Search: {protocol['trials']} trials of at most {protocol['epochs']} epochs; the best {protocol['top_k']} "
        f"were repeated with new seeds (all seeds derive from {protocol['seed']})",
        "The test tracks were held out from the start and used once, after model selection",
    )


def _groups(protocol: Mapping[str, Any]) -> str:
    """Return what the split implies for the accuracy on music by artists who are not in the training data."""
    by = protocol.get("group_by", "none")
    if by != "none":
        return f"All tracks of one {by} are in the same subset, so the test accuracy applies to unknown {by}s"
    if protocol["split"] == "lists":
        return "Whether songs of one artist are in several subsets depends on the lists"
    return (
        "Songs of one artist may be in both the training and the test tracks: expect a lower accuracy for artists that "
        "are not in the training tracks (on GTZAN by about 14 percentage points)"
    )


def _calibration(classifier: Classifier) -> tuple[str, ...]:
    calibration = classifier.calibration
    held_out = classifier.origin.get("calibrated_on", _UNKNOWN)
    return (
        f"A prediction with a confidence below {calibration.threshold:.0%} is called uncertain; the logits are divided "
        f"by a temperature of {calibration.temperature:.2f}",
        "Both were fitted to predictions for held-out tracks by networks with the same hyperparameters (number of "
        f"tracks: {held_out})",
    )


def _licence(classifier: Classifier) -> tuple[str, ...]:
    if list(classifier.genres) != _GTZAN:
        return (
            "The weights contain no recordings. The person who trained the model is responsible for the rights to the "
            "training tracks.",
        )
    return (
        "Its genres are those of GTZAN. GTZAN has no licence for its recordings, some of which are copyrighted and "
        "were collected without permission; it is used for research. The weights contain none of the recordings.",
    )


def _weights(classifier: Classifier) -> tuple[str, ...]:
    hyperparameters = classifier.origin.get("setting", {})
    versions = classifier.versions
    return (
        f"SHA-256 {classifier.sha256 or _UNKNOWN}",
        f"Hyperparameters: {', '.join(f'{name} {value}' for name, value in hyperparameters.items()) or _UNKNOWN}",
        f"Saved with: {', '.join(f'{name} {version}' for name, version in versions.items()) or _UNKNOWN}",
    )
