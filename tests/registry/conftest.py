from pathlib import Path

import pytest

from tests.helpers.rivals import Ring


@pytest.fixture
def ring(rivals_ring: Ring, tmp_path: Path) -> Ring:
    """A registry whose versions each predict one fixed genre, without a champion."""
    return rivals_ring.copy(tmp_path)
