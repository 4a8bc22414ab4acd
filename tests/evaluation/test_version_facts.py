from raygenre.evaluation.version_facts import VersionFacts


def test_facts_survive_a_round_trip_through_tags() -> None:
    facts = VersionFacts(
        1 / 3, "t", True, "s", "x", test_tracks=199, genres=10, data="/music", data_digest="d", test_guessing=0.15,
        validation_accuracy=0.4, validation_tracks=160, validation_guessing=1 / 7,
    )  # fmt: skip
    assert VersionFacts.from_tags(facts.to_tags()) == facts


def test_tags_of_earlier_releases_may_lack_some_facts() -> None:
    tags = {"test_accuracy": "0.5", "test_digest": "t", "synthetic": "false", "study": "s", "sha256": "x"}
    assert VersionFacts.from_tags(tags) == VersionFacts(0.5, "t", False, "s", "x")


def test_the_chance_test_fails_on_validation_or_test_tracks() -> None:
    def facts(validation: float, test: float) -> VersionFacts:
        return VersionFacts(
            test, "t", False, "s", "x", test_tracks=40, genres=10, test_guessing=0.1,
            validation_accuracy=validation, validation_tracks=160, validation_guessing=0.1,
        )  # fmt: skip

    assert facts(0.5, 0.5).failed_chance_test is None
    for failed, name in ((facts(0.11, 0.5), "validation"), (facts(0.5, 0.15), "test")):
        assert failed.failed_chance_test is not None
        assert failed.failed_chance_test.name == name


def test_guessing_is_one_in_the_number_of_genres_by_default() -> None:
    def facts(accuracy: float, *, tracks: int = 40) -> VersionFacts:
        return VersionFacts(accuracy, "t", False, "s", "x", test_tracks=tracks, genres=10)

    assert facts(0.5).failed_chance_test is None
    failed = facts(0.1).failed_chance_test
    assert failed is not None
    assert failed.rate == 0.1
    assert facts(0.1, tracks=0).failed_chance_test is None  # earlier releases did not record the number of tracks
