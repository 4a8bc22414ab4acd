"""A search that starts from the best settings of earlier studies."""

from pathlib import Path
from typing import Any

import pytest

from raygenre.data.dataset import Dataset
from raygenre.search.options import OptionError, Options
from raygenre.search.resolve import resolve
from raygenre.search.space.config import SearchConfig
from raygenre.search.space.samplers import sampler
from raygenre.search.study.backend import StudyError
from raygenre.search.study.earlier_studies import EarlierSetting, best_settings
from raygenre.search.study.ledger import Ledger
from raygenre.system.location import Location
from tests.conftest import new_ledger


def train(ledger: Ledger, values: dict[str, float], loss: float, *, epochs: int = 2) -> None:
    ledger.study.enqueue_trial(values)
    number = ledger.start_trial(sampler("random", seed=0, trials=9), ledger.config.distributions).number
    for epoch in range(1, epochs + 1):
        ledger.report(number, epoch=epoch, loss=loss)
    ledger.finish(number)


@pytest.fixture
def studies(tracks: Dataset, tmp_path: Path) -> Location:
    """Two earlier studies, one of which is still open in a driver."""
    for name, losses in (("spring", (0.5, 0.3, 0.4)), ("autumn", (0.2, 0.9))):
        ledger = new_ledger(tmp_path, tracks, name, trials=4)
        for number, loss in enumerate(losses):
            train(ledger, {"dropout": 0.1 + number / 10, "learning_rate": 1e-3, "decay": 0.5}, loss)
        train(ledger, {"dropout": 0.5, "learning_rate": 1e-3, "decay": 0.5}, 0.01, epochs=1)  # stopped early
        if name == "spring":
            ledger.close()
    return Location(str(tmp_path))


def resolved(tracks: Dataset, earlier: list[EarlierSetting], **options: Any) -> tuple[SearchConfig, dict[str, str]]:
    return resolve(Options(**options, given=frozenset(options)), tracks, earlier=earlier)


def test_the_best_settings_are_tried_first(tracks: Dataset, studies: Location) -> None:
    names = ("spring", "autumn")
    earlier = [setting for name in names for setting in best_settings(studies, name, k=2, url=None)]
    found = [(setting.study, setting.trial) for setting in earlier]
    assert found == [("spring", 1), ("spring", 2), ("autumn", 0), ("autumn", 1)]
    config, notes = resolved(tracks, earlier, start=("dropout=0.4",), trials=4, epochs=2, top_k=1)
    assert [point["dropout"] for point in config.first_points] == pytest.approx([0.4, 0.2, 0.1, 0.3])
    assert config.warm_start == ["spring trial 1", "autumn trial 0", "spring trial 2"]
    assert notes["warm start"] == "first spring trial 1, autumn trial 0, spring trial 2"


def test_only_what_fits_into_the_space_is_taken(tracks: Dataset, studies: Location, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("dropout: {low: 0.15, high: 0.4}\ndecay: 0.1\n")
    earlier = best_settings(studies, "autumn", k=5, url=None)
    config, notes = resolved(tracks, earlier, preset="original", space=space, epochs=2)
    assert [set(point) for point in config.starts] == [{"learning_rate"}, {"dropout", "learning_rate"}]
    assert notes["warm start"].endswith("some values of dropout are outside the space and are replaced by the default")
    space.write_text("dropout: {low: 0.7, high: 0.9}\ndecay: 0.1\nlearning_rate: 0.1\n")
    with pytest.raises(OptionError, match="--from autumn: none of this study's values is in the space"):
        resolved(tracks, earlier, preset="original", space=space)


def test_a_study_of_another_network_is_refused(tracks: Dataset) -> None:
    head = EarlierSetting("autumn", 3, {"network": "head", "dropout": 0.3, "learning_rate": 1e-3, "decay": 0.1})
    with pytest.raises(OptionError, match="its network is head, but this search trains cnn"):
        resolved(tracks, [head])


def test_a_study_without_a_complete_trial_is_refused(tracks: Dataset, tmp_path: Path) -> None:
    new_ledger(tmp_path, tracks)
    with pytest.raises(StudyError, match="--from study: none of its trials is complete"):
        best_settings(Location(str(tmp_path)), "study", k=1, url=None)
    with pytest.raises(StudyError, match=r"there is no study winter in .*; existing studies: study"):
        best_settings(Location(str(tmp_path)), "winter", k=1, url=None)
