import re
from pathlib import Path

import pytest
import yaml

from raygenre.data.dataset import Dataset
from raygenre.data.splits import Split
from raygenre.search.space import config_file
from raygenre.search.space.config import SearchConfig
from raygenre.search.space.space import SpaceError
from raygenre.search.study.ledger import Ledger, losses
from raygenre.system.location import Location
from tests.conftest import new_ledger, small_config
from tests.helpers.trials import search


def test_a_config_survives_its_file_with_the_whole_space(tracks: Dataset, tmp_path: Path) -> None:
    config = small_config(
        tracks, space={"width": {"low": 8, "high": 16}, "batch_size": [4, 8]}, starts=[{"dropout": 0.25}], epochs=7
    )
    config_file.save(config, tmp_path)
    fields = config_file.read(tmp_path / config_file.NAME)
    restored = SearchConfig(**fields)
    assert restored.distributions == config.distributions
    assert restored.first_points == config.first_points
    assert restored.fixed == config.fixed
    written = yaml.safe_load((tmp_path / config_file.NAME).read_text())["space"]
    assert set(written) == {"dropout", "learning_rate", "decay", "width", "batch_size"}
    assert set(fields["space"]) == {"width", "batch_size"}  # the defaults that depend on the epochs are omitted
    assert {name: value for name, value in fields.items() if name != "space"} == {
        name: value for name, value in vars(config).items() if name != "space"
    }
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_a_study_keeps_run_yaml_up_to_date(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    ledger.extend(9)
    assert config_file.read(ledger.folder / "run.yaml")["trials"] == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epohcs": 3}, "unknown name epohcs; did you mean epochs?"),
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"scheduler": "hyperband"}, "scheduler must be asha, median or none, not"),
        ({"space": {"widht": 3}}, "unknown name widht; did you mean width?"),
        ({"space": [1]}, "run.yaml"),
        ({"trials": "many"}, "run.yaml"),
    ],
)
def test_an_invalid_file_is_refused(tracks: Dataset, tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(config_file.to_yaml(small_config(tracks))) | change))
    with pytest.raises(SpaceError, match=re.escape(message)):
        config_file.read(path)


def test_an_incomplete_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("epochs: 3\n")
    with pytest.raises(SpaceError, match="is incomplete: data, data_digest"):
        config_file.read(path)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_run_yaml_repeats_the_search(tracks: Dataset, ray_cluster: None, tmp_path: Path, sampler: str) -> None:
    """The trials run one at a time, so each proposal is based on the same earlier results."""
    first = new_ledger(tmp_path / "first", tracks, trials=5, epochs=1, sampler=sampler, seed=3)
    search(first, tracks, tmp_path / "first", most=1)
    config = SearchConfig(**config_file.read(first.folder / "run.yaml"))
    split = Split.from_json(first.split.to_json())
    second = Ledger.create(Location(str(tmp_path / "second")), "again", config=config, split=split, url=None)
    search(second, tracks, tmp_path / "second", most=1)
    assert [trial.params for trial in second.trials] == [trial.params for trial in first.trials]
    assert [losses(trial) for trial in second.trials] == [losses(trial) for trial in first.trials]
    assert len({trial.params["dropout"] for trial in first.trials}) == 5
