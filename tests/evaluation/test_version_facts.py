from raygenre.evaluation.version_facts import VersionFacts


def test_facts_survive_a_round_trip_through_tags() -> None:
    facts = VersionFacts(1 / 3, "t", True, "s", "x", test_tracks=199, genres=10, data="/music", data_digest="d")
    assert VersionFacts.from_tags(facts.to_tags()) == facts


def test_tags_of_earlier_releases_may_lack_some_facts() -> None:
    tags = {"test_accuracy": "0.5", "test_digest": "t", "synthetic": "false", "study": "s", "sha256": "x"}
    assert VersionFacts.from_tags(tags) == VersionFacts(0.5, "t", False, "s", "x")
