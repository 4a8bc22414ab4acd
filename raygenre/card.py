"""A model card: what a classifier is for, what it was made from, and how far it can be trusted."""

from raygenre.classifier import Classifier
from raygenre.evidence import Evidence
from raygenre.model import parameters


def card(classifier: Classifier, *, name: str, evidence: Evidence | None) -> str:
    """Return the card in Markdown."""
    origin = classifier.origin
    calibration = classifier.calibration
    tested = f"{evidence.test_accuracy:.1%} of the test tracks were named rightly" if evidence else "not known"
    synthetic: bool | None = evidence.synthetic if evidence else None
    data = {
        None: "not known",
        True: "synthetic tracks: it shows that everything works, and says nothing about music",
        False: "real tracks",
    }[synthetic]
    return "\n".join(
        [
            f"# {name}",
            "",
            f"A convolutional network with {parameters(classifier.model):,} parameters that names the genre of music: "
            f"{', '.join(classifier.genres)}. It hears 30 s at a time, as a mel spectrogram drawn as GTZAN's are.",
            "",
            f"- Trained on: {data} (study {origin.get('study', 'not known')}, data "
            f"{str(origin.get('data_digest', 'not known'))[:12]})",
            f"- Test: {tested}",
            f"- An answer below {calibration.threshold:.0%} confidence is called uncertain; the logits are divided by "
            f"{calibration.temperature:.2f}",
            f"- Weights: SHA-256 {classifier.sha256}",
            "",
            "It knows these genres only and names one of them for any sound, speech and noise included. Genres overlap "
            "and GTZAN's labels are disputed in places: take an answer as a hint, not as a fact about a recording.",
            "",
        ]
    )
