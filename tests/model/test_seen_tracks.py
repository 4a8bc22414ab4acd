import numpy as np
import pytest

from raygenre.model.seen_tracks import SeenTracks, fingerprint

LEVELS = np.random.default_rng(0).integers(0, 256, (5, 128, 333), dtype=np.uint8)
SEEN = SeenTracks.of(["a", "b", "c", "d", "e"], LEVELS, train=[0, 1, 2], test=[3, 4])


def test_sides_hold_their_tracks() -> None:
    assert SEEN.train == {"a": fingerprint(LEVELS[0]), "b": fingerprint(LEVELS[1]), "c": fingerprint(LEVELS[2])}
    assert list(SEEN.test) == ["d", "e"]


def test_a_track_is_known_by_its_name_and_by_its_picture() -> None:
    pictures = LEVELS[[0, 3, 4]]
    assert SEEN.unseen(["other name", "b", "e"], pictures).tolist() == [False, False, True]


def test_one_level_makes_another_fingerprint() -> None:
    other = LEVELS[0].copy()
    other[5, 7] ^= 1
    assert fingerprint(other) != fingerprint(LEVELS[0])
    assert fingerprint(LEVELS[0][:, ::-1][:, ::-1]) == fingerprint(LEVELS[0])


def test_json_and_back() -> None:
    assert SeenTracks.from_json(SEEN.to_json()) == SEEN


@pytest.mark.parametrize("text", ["", "[]", '{"train": {}}', '{"train": [], "test": {}}', "3"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        SeenTracks.from_json(text)
