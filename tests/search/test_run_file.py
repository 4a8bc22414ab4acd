import re
from pathlib import Path

import pytest
import yaml

from raygenre.dataset import Dataset
from raygenre.search import run_file
from raygenre.search.config import SearchConfig
from raygenre.search.space import SpaceError
from tests.conftest import new_ledger, small_config


def test_a_search_survives_its_file_with_the_whole_space(tracks: Dataset, tmp_path: Path) -> None:
    config = small_config(
        tracks, space={"width": {"low": 8, "high": 16}, "batch_size": [4, 8]}, starts=[{"dropout": 0.25}], epochs=7
    )
    run_file.save(config, tmp_path)
    fields = run_file.read(tmp_path / run_file.NAME)
    again = SearchConfig(**fields)
    assert again.distributions == config.distributions
    assert again.first_points == config.first_points
    assert again.fixed == config.fixed
    assert set(fields["space"]) == {"dropout", "learning_rate", "decay", "width", "batch_size"}
    assert {name: value for name, value in fields.items() if name != "space"} == {
        name: value for name, value in vars(config).items() if name != "space"
    }
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_a_study_keeps_it_up_to_date(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    ledger.extend(9)
    assert run_file.read(ledger.folder / "run.yaml")["trials"] == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epohcs": 3}, "epohcs is not known; did you mean epochs?"),
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"scheduler": "hyperband"}, "scheduler must be one of asha, median, none"),
        ({"space": {"widht": 3}}, "widht is not known; did you mean width?"),
        ({"space": [1]}, "run.yaml"),
        ({"trials": "many"}, "run.yaml"),
    ],
)
def test_a_file_that_says_no_search_is_refused(
    tracks: Dataset, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(run_file.write(small_config(tracks))) | change))
    with pytest.raises(SpaceError, match=re.escape(message)):
        run_file.read(path)


def test_a_file_with_half_a_search_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("epochs: 3\n")
    with pytest.raises(SpaceError, match="is not a whole search: data, data_digest"):
        run_file.read(path)
