import numpy as np
import pytest

from raygenre.model.seen_tracks import SeenTracks, fingerprint

LEVELS = np.random.default_rng(0).integers(0, 256, (5, 128, 333), dtype=np.uint8)
SEEN = SeenTracks.of(["a", "b", "c", "d", "e"], LEVELS, train=[0, 1, 2], test=[3, 4])


def test_train_and_test_tracks_are_recorded() -> None:
    assert SEEN.train == {"a": fingerprint(LEVELS[0]), "b": fingerprint(LEVELS[1]), "c": fingerprint(LEVELS[2])}
    assert list(SEEN.test) == ["d", "e"]


def test_tracks_are_recognised_by_id_or_by_image() -> None:
    images = LEVELS[[0, 3, 4]]
    assert SEEN.unseen(["other name", "b", "e"], images).tolist() == [False, False, True]


def test_fingerprint_changes_with_a_single_level() -> None:
    changed = LEVELS[0].copy()
    changed[5, 7] ^= 1
    assert fingerprint(changed) != fingerprint(LEVELS[0])
    assert fingerprint(LEVELS[0][:, ::-1][:, ::-1]) == fingerprint(LEVELS[0])


def test_json_round_trip() -> None:
    assert SeenTracks.from_json(SEEN.to_json()) == SEEN


@pytest.mark.parametrize("text", ["", "[]", '{"train": {}}', '{"train": [], "test": {}}', "3"])
def test_malformed_text_raises_an_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        SeenTracks.from_json(text)
