from raygenre.evaluation.version_facts import VersionFacts


def test_evidence_survives_its_tags() -> None:
    known = VersionFacts(1 / 3, "t", True, "s", "x", test_tracks=199, genres=10, data="/music", data_digest="d")
    assert VersionFacts.from_tags(known.to_tags()) == known


def test_tags_of_earlier_days_lack_some() -> None:
    tags = {"test_accuracy": "0.5", "test_digest": "t", "synthetic": "false", "study": "s", "sha256": "x"}
    assert VersionFacts.from_tags(tags) == VersionFacts(0.5, "t", False, "s", "x")
