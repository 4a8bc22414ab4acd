from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from raygenre.data.dataset import Dataset
from raygenre.model.network import parameter_count
from raygenre.model.networks import build
from raygenre.search.options import OptionError, Options
from raygenre.search.resolve import LARGE, SMALL, SMALL_NETWORK, check_unchanged, resolve
from raygenre.search.space.choices import PresetName
from raygenre.search.space.config import SearchConfig
from raygenre.search.space.presets import PRESETS
from raygenre.search.space.space import Setting
from raygenre.search.study.backend import StudyError
from tests.conftest import new_ledger


def resolved(
    tracks: Dataset, base: dict[str, Any] | None = None, *, also: Collection[str] = (), **options: Any
) -> tuple[SearchConfig, dict[str, str]]:
    """Resolve options as if the user had passed them, with the options in `also` at their defaults."""
    return resolve(Options(**options, given=frozenset({*options, *also})), tracks, base)


def test_defaults_depend_on_the_data(tracks: Dataset) -> None:
    large = {**LARGE, "epochs": 100, "batch_size": 16}
    for data, defaults in ((tracks, large), (replace(tracks, source="synthetic"), SMALL)):
        config, notes = resolved(data)
        assert data.synthetic == (defaults is SMALL)
        assert {name: getattr(config, name) for name in defaults} == defaults
        assert (config.sampler, config.scheduler) == ("tpe", "asha")
        assert notes["sampler"] == "tpe: it learns from stopped trials too"


def test_synthetic_tracks_have_a_smaller_default_network(tracks: Dataset, tmp_path: Path) -> None:
    synthetic = replace(tracks, source="synthetic")
    config, notes = resolved(synthetic)
    assert config.space == SMALL_NETWORK
    assert (config.setting({}).width, Setting().width) == (8, 32)
    assert notes["network"].startswith("width 8, frequency bins 4 (defaults for synthetic tracks")
    path = tmp_path / "space.yaml"
    path.write_text("frequency_bins: 2\n")
    assert resolved(synthetic, space=path)[0].space == {"width": 8, "frequency_bins": 2}
    assert resolved(synthetic, search_width=True)[0].distributions.keys() > {"width"}
    earlier = asdict(config) | {"space": {}}  # as in run.yaml of a search with the default network
    assert resolved(synthetic, earlier)[0].space == {}


def test_a_preset_fills_the_space_below_what_is_given(tracks: Dataset, tmp_path: Path) -> None:
    improved = PRESETS["improved"]
    config, notes = resolved(tracks)
    assert notes["preset"] == "improved; --preset original: the project's first network"
    original, notes = resolved(tracks, preset="original")
    assert (original.space, original.epochs, original.starts) == ({}, 40, [])
    assert "preset" not in notes
    assert resolved(tracks, preset="improved")[0] == config
    assert config.space == improved.entries
    assert (config.epochs, config.batch_size) == (improved.epochs, improved.batch_size)
    assert list(config.distributions) == ["dropout", "learning_rate", "decay"]
    assert config.first_points == [{"dropout": 0.1, "learning_rate": 4e-3, "decay": 0.01}]
    path = tmp_path / "space.yaml"
    path.write_text("masks: 1\nlearning_rate: 4e-3\n")
    config, _ = resolved(tracks, preset="improved", space=path, batch_size=8, epochs=7)
    assert config.space == {**improved.entries, "masks": 1, "learning_rate": 4e-3}
    assert (config.epochs, config.batch_size) == (7, 8)
    assert resolved(tracks, asdict(config))[0].space == config.space  # run.yaml repeats the search
    with pytest.raises(OptionError, match="omit --preset"):
        resolved(tracks, asdict(config), preset="improved")


def test_run_yaml_of_a_preset_accepts_other_epochs_and_spaces(tracks: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("learning_rate: {low: 1e-3, high: 2e-3}\nmasks: 1\n")
    for epochs, other in ((1, 100), (100, 5), (3, 300)):
        base = asdict(resolved(tracks, epochs=epochs)[0])
        config, _ = resolved(tracks, base, epochs=other)
        [point] = config.first_points
        assert (point["dropout"], point["learning_rate"]) == (0.1, 4e-3)
        decay = vars(config.distributions["decay"])
        assert decay["low"] <= point["decay"] <= decay["high"]
    config, _ = resolved(tracks, base, space=path)
    assert config.space == base["space"] | {"learning_rate": {"low": 1e-3, "high": 2e-3}, "masks": 1}
    assert config.first_points[0]["learning_rate"] == 2e-3


def test_start_points_are_completed_from_the_preset(tracks: Dataset) -> None:
    config, _ = resolved(tracks, start=("dropout=0.3",))
    assert config.first_points == [{"dropout": 0.3, "learning_rate": 4e-3, "decay": 0.01}]


def test_preset_auto_does_not_count_as_set(tracks: Dataset) -> None:
    config, _ = resolved(tracks)
    assert resolved(tracks, preset="auto")[0] == config
    assert resolved(tracks, asdict(config), preset="auto")[0] == config


def test_a_space_that_the_network_cannot_have_is_refused(tracks: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("frequency_bins: {low: 1, high: 32}\n")
    with pytest.raises(ValueError, match=r"the space contains frequency_bins 32: .* from 1 to 16"):
        resolved(tracks, space=path)
    assert resolved(tracks, preset="original", space=path)[0].space == {"frequency_bins": {"low": 1, "high": 32}}


@pytest.mark.parametrize("name", PRESETS)
def test_networks_of_the_presets_are_small(name: PresetName, tracks: Dataset) -> None:
    config, _ = resolved(tracks, preset=name)
    [point] = config.first_points
    assert parameter_count(build(config.setting(point).model(10))) < 500_000


def test_auto_is_resolved_and_a_given_sampler_is_kept(tracks: Dataset) -> None:
    assert resolved(tracks, scheduler="none")[0].sampler == "gp"
    assert resolved(tracks, scheduler="none", sampler="random")[0].sampler == "random"
    assert resolved(tracks, trials=2)[0].top_k == 2


def test_several_objectives_turn_the_scheduler_off(tracks: Dataset) -> None:
    config, notes = resolved(tracks, objectives="accuracy, parameters")
    assert (config.objectives, config.scheduler) == (["accuracy", "parameters"], "none")
    assert notes["scheduler"].startswith("none, because Optuna supports no intermediate values")
    with pytest.raises(ValueError, match="use --scheduler none"):
        resolved(tracks, objectives="accuracy,parameters", scheduler="asha")
    with pytest.raises(ValueError, match="cmaes sampler supports only one objective"):
        resolved(tracks, objectives="loss,latency", sampler="cmaes")


def test_space_width_and_starts_combine(tracks: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("dense: [32, 64]\ndecay: 0.02\n")
    config, _ = resolved(
        tracks, preset="original", space=path, search_width=True, start=("dense=32,dropout=0.1", "width=8")
    )
    assert list(config.distributions) == ["dropout", "learning_rate", "dense", "width"]
    assert config.fixed["decay"] == 0.02
    assert config.first_points == [
        {"dropout": 0.1, "learning_rate": 1e-3, "dense": 32, "width": 32},
        {"dropout": 0.3, "learning_rate": 1e-3, "dense": 64, "width": 8},
    ]
    path.write_text("width: 8\nbatch_size: [4, 8]\n")
    with pytest.raises(ValueError, match="omit --search-width"):
        resolved(tracks, space=path, search_width=True)
    with pytest.raises(ValueError, match="omit --batch-size"):
        resolved(tracks, space=path, batch_size=4)
    with pytest.raises(ValueError, match=r"start dropout=0.9 is outside the space, which allows 0 to 0.5"):
        resolved(tracks, start=("dropout=0.9",))
    with pytest.raises(ValueError, match="2 start points need at least as many trials, but there are only 1"):
        resolved(tracks, start=("dropout=0.2", "dropout=0.3"), trials=1)


def test_options_override_an_earlier_search(tracks: Dataset) -> None:
    first, _ = resolved(tracks, trials=5, epochs=3, seed=7, search_width=True, start=("dropout=0.2",), scheduler="none")
    base = asdict(first)
    again, notes = resolved(tracks, base)
    assert again == first
    assert notes == {}  # the earlier search has already resolved everything
    other, _ = resolved(tracks, base, seed=8, sampler="auto", start=("dropout=0.4",))
    assert other == replace(first, seed=8, starts=[{"dropout": 0.4}])
    with pytest.raises(ValueError, match="has changed since the search in --config ran; use --data"):
        resolved(replace(tracks, digest="0" * 64), base)
    merging, _ = resolved(tracks, base | {"merge_case": True})
    assert merging == replace(first, merge_case=True)
    assert resolved(tracks, base, merge_case=True)[0] == merging
    moved, _ = resolved(replace(tracks, digest="0" * 64), base, also=["data"])
    assert moved == replace(first, data_digest="0" * 64)


def test_a_resumed_search_refuses_other_options(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    same = Options(seed=0, sampler="auto", objectives="loss", epochs=2)
    check_unchanged(replace(same, given=frozenset({"seed", "sampler", "objectives", "epochs"})), ledger)
    others: dict[str, Any] = {"seed": 1, "sampler": "gp", "objectives": "loss,parameters", "epochs": 3}
    for name, value in others.items():
        with pytest.raises(StudyError, match=f"has --{name} .* and cannot be resumed with {value}"):
            check_unchanged(Options(**{name: value}, given=frozenset({name})), ledger)
    for name in ("space", "search_width", "start", "config", "duplicates", "merge_case"):
        with pytest.raises(StudyError, match=f"--{name.replace('_', '-')} applies only to a new study"):
            check_unchanged(Options(given=frozenset({name})), ledger)
