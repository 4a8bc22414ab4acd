"""A model card: what a classifier is for, what it was made from, and how far it can be trusted.

Its sections are the same wherever it is read: as Markdown from the endpoint and in the registry, and in the page of an
evaluation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raygenre.evaluation.version_facts import VersionFacts
from raygenre.model.classifier import Classifier
from raygenre.model.network import parameter_count

_GTZAN = ["blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock"]
_UNKNOWN = "not known"


@dataclass(frozen=True)
class Section:
    """A heading and sentences or facts under it, plain text."""

    title: str
    lines: tuple[str, ...]


def card(classifier: Classifier, *, name: str, evidence: VersionFacts | None) -> str:
    """Return the card in Markdown."""
    parts = [f"# {name}\n\n{introduction(classifier)}\n"]
    for section in sections(classifier, evidence):
        lines = "\n".join(f"- {line}" for line in section.lines)
        parts.append(f"## {section.title}\n\n{lines}\n")
    return "\n".join(parts)


def introduction(classifier: Classifier) -> str:
    """Say in two sentences what the classifier is."""
    return (
        f"A convolutional network with {parameter_count(classifier.model):,} parameters that names the genre of music: "
        f"{', '.join(classifier.genres)}. It hears 30 s at a time, as a mel spectrogram drawn as GTZAN's are."
    )


def sections(classifier: Classifier, evidence: VersionFacts | None) -> tuple[Section, ...]:
    """Return what is to be known of a classifier; what nobody noted is said to be not known."""
    return (
        Section("Data", _data(classifier, evidence)),
        Section("Protocol", _protocol(classifier, evidence)),
        Section("Calibration", _calibration(classifier)),
        Section("Intended use", _USE),
        Section("Limits", _LIMITS),
        Section("Licence", _licence(classifier)),
        Section("Weights", _weights(classifier)),
    )


_USE = (
    "To sort or explore a collection of music, to study how genres are told apart, and to begin further training from.",
    "Not to decide on what somebody is paid, shown or refused: take an answer as a hint, not as a fact about a "
    "recording.",
)
_LIMITS = (
    "It knows these genres only and names one of them for any sound, speech and noise included.",
    "Genres overlap, and GTZAN's labels are disputed in places.",
    "It hears no order beyond a second or two: its evidence is the mean over the whole window.",
    "Music unlike its training tracks, in region, time or way of recording, is named less well than the test says.",
)


def _data(classifier: Classifier, evidence: VersionFacts | None) -> tuple[str, ...]:
    origin = classifier.origin
    synthetic = evidence.synthetic if evidence else origin.get("synthetic")
    kind = {
        None: _UNKNOWN,
        True: "synthetic tracks: it shows that everything works, and says nothing about music",
        False: "real tracks",
    }[synthetic]
    counts = origin.get("train_counts")
    how_many = [f"Training tracks: {', '.join(f'{genre} {n}' for genre, n in counts.items())}"] if counts else []
    return (
        f"Trained on: {kind} (study {origin.get('study', _UNKNOWN)}, data "
        f"{str(origin.get('data_digest', _UNKNOWN))[:12]})",
        *how_many,
    )


def _protocol(classifier: Classifier, evidence: VersionFacts | None) -> tuple[str, ...]:
    tested = f"{evidence.test_accuracy:.1%} of the test tracks were named rightly" if evidence else _UNKNOWN
    seen = classifier.seen
    sides = f"{len(seen.train)} tracks to train and to choose by, {len(seen.test)} to test" if seen else _UNKNOWN
    return (
        f"Split: {sides}",
        *_search(classifier.origin.get("protocol")),
        f"Test: {tested}",
    )


def _search(protocol: Mapping[str, Any] | None) -> tuple[str, ...]:
    if protocol is None:
        return (f"Search: {_UNKNOWN}",)
    drawn = "taken from given lists" if protocol["split"] == "lists" else f"drawn from seed {protocol['seed']}"
    copies = (
        "copies of a recording may lie on both sides" if protocol["keep_duplicates"] else "known copies on one side"
    )
    folds, share = protocol["folds"], protocol["validation"]
    held_out = f"{folds} folds" if folds > 1 else f"one hold-out of {share:.0%}"
    return (
        f"The split was {drawn}, {copies}; validation on {held_out} of the tracks to train",
        f"Search: {protocol['trials']} trials of at most {protocol['epochs']} epochs, of which the best "
        f"{protocol['top_k']} were trained again on new seeds (all from seed {protocol['seed']})",
        "The test tracks were set aside first and touched once, after everything had been chosen",
    )


def _calibration(classifier: Classifier) -> tuple[str, ...]:
    calibration = classifier.calibration
    held_out = classifier.origin.get("calibrated_on", _UNKNOWN)
    return (
        f"An answer below {calibration.threshold:.0%} confidence is called uncertain; the logits are divided by "
        f"{calibration.temperature:.2f}",
        f"Both were fitted on answers to held-out tracks by networks of the same setting: {held_out} of them",
    )


def _licence(classifier: Classifier) -> tuple[str, ...]:
    if list(classifier.genres) != _GTZAN:
        return ("The network holds no recording; whoever trained it answers for the right to use the tracks.",)
    return (
        "Its genres are GTZAN's. GTZAN comes with no licence for its recordings, which are copyrighted music in part "
        "and were collected without asking; it is used for research. The network holds none of them.",
    )


def _weights(classifier: Classifier) -> tuple[str, ...]:
    setting = classifier.origin.get("setting", {})
    versions = classifier.versions
    return (
        f"SHA-256 {classifier.sha256 or _UNKNOWN}",
        f"Setting: {', '.join(f'{name} {value}' for name, value in setting.items()) or _UNKNOWN}",
        f"Saved with: {', '.join(f'{name} {version}' for name, version in versions.items()) or _UNKNOWN}",
    )
