import pytest

from raygenre import evidence as module
from raygenre.evidence import Evidence


def evidence(accuracy: float = 0.7, *, synthetic: bool = False, test: str = "t", sha256: str = "x") -> Evidence:
    return Evidence(test_accuracy=accuracy, test_digest=test, synthetic=synthetic, study="s", sha256=sha256)


@pytest.mark.parametrize(
    ("candidate", "champion", "promote", "reason"),
    [
        (evidence(0.1), evidence(0.9, synthetic=True), True, "synthetic"),
        (evidence(0.9, synthetic=True), evidence(0.1), False, "synthetic"),
        (evidence(0.8), evidence(0.7), True, "80.0% against"),
        (evidence(0.7), evidence(0.7), False, "70.0% against"),
        (evidence(0.6), evidence(0.7), False, "60.0% against"),
        (evidence(0.9, test="other"), evidence(0.7), False, "other tracks"),
        (evidence(0.8, synthetic=True), evidence(0.7, synthetic=True), True, "80.0%"),
    ],
)
def test_who_becomes_champion(candidate: Evidence, champion: Evidence, promote: bool, reason: str) -> None:
    decision = module.decide(candidate, champion)
    assert decision.promote is promote
    assert reason in decision.reason


def test_equal_tests_have_equal_digests() -> None:
    assert module.test_digest(("b", "a"), "data") == module.test_digest(("a", "b"), "data")
    assert module.test_digest(("a",), "data") != module.test_digest(("a", "b"), "data")
    assert module.test_digest(("a",), "data") != module.test_digest(("a",), "other data")


def test_evidence_survives_its_tags() -> None:
    assert Evidence.from_tags(evidence(1 / 3, synthetic=True).to_tags()) == evidence(1 / 3, synthetic=True)
