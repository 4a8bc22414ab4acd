from pathlib import Path

import pytest

from tests.helpers.rivals import Ring


@pytest.fixture
def ring(rivals_ring: Ring, tmp_path: Path) -> Ring:
    """A registry without a champion, in which each version always predicts the same genre."""
    return rivals_ring.copy(tmp_path)
