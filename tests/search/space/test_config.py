import pytest

from raygenre.data.dataset import Dataset
from raygenre.search.space.config import Resources, SearchConfig
from tests.conftest import small_config


def test_a_config_survives_json(tracks: Dataset) -> None:
    config = small_config(tracks)
    assert SearchConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trials", 0),
        ("epochs", 0),
        ("folds", 0),
        ("top_k", 4),
        ("seed", -1),
        ("validation", 1.0),
        ("scheduler", "hyperband"),
        ("split", "even"),
        ("augmentation", "reversal"),
    ],
)
def test_invalid_options_are_refused(tracks: Dataset, field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        small_config(tracks, **{field: value})


@pytest.mark.parametrize(("cpus", "gpus", "max_concurrent"), [(0.0, 0.0, 0), (1.0, -1.0, 0), (1.0, 0.0, -1)])
def test_invalid_resources_are_refused(cpus: float, gpus: float, max_concurrent: int) -> None:
    with pytest.raises(ValueError, match=r"must"):
        Resources(cpus, gpus, max_concurrent)
