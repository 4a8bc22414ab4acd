from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from raygenre.data.dataset import Dataset
from raygenre.search.options import LARGE, SMALL, SMALL_NETWORK, check_unchanged, resolve
from raygenre.search.space.config import SearchConfig
from raygenre.search.space.space import Setting
from raygenre.search.study.backend import StudyError
from tests.conftest import new_ledger

DEFAULTS: dict[str, Any] = {
    "trials": 0, "epochs": 0, "seed": 0, "split": "random", "folds": 1, "validation": 0.2, "sampler": "auto",
    "scheduler": "asha", "batch_size": 0, "augmentation": "none", "top_k": 0, "objectives": "loss", "space": None,
    "search_width": False, "start": [], "config": None, "split_lists": None, "duplicates": None,
    "keep_duplicates": False,
}  # fmt: skip


def asked(
    tracks: Dataset, base: dict[str, Any] | None = None, *, also: Collection[str] = (), **options: Any
) -> tuple[SearchConfig, list[str]]:
    return resolve(DEFAULTS | options, {*options, *also}, tracks, base)


def test_defaults_depend_on_the_data_and_auto_is_tpe_for_them(tracks: Dataset) -> None:
    for data, usual in ((tracks, LARGE), (replace(tracks, source="synthetic"), SMALL)):
        config, notes = asked(data)
        assert data.synthetic == (usual is SMALL)
        found = {name: getattr(config, name) for name in usual}
        assert found == usual
        assert (config.sampler, config.scheduler) == ("tpe", "asha")
        assert notes[-1] == "Sampler tpe: it learns from stopped trials too"


def test_synthetic_tracks_have_a_network_of_their_own_and_real_ones_the_usual(tracks: Dataset, tmp_path: Path) -> None:
    assert asked(tracks)[0].space == {}
    synthetic = replace(tracks, source="synthetic")
    config, notes = asked(synthetic)
    assert config.space == SMALL_NETWORK
    assert (config.setting({}).width, Setting().width) == (8, 32)
    assert notes[0] == "Network for synthetic tracks, unless --space has another: width 8, frequency bins 4"
    path = tmp_path / "space.yaml"
    path.write_text("frequency_bins: 2\n")
    assert asked(synthetic, space=path)[0].space == {"width": 8, "frequency_bins": 2}
    assert asked(synthetic, search_width=True)[0].distributions.keys() > {"width"}
    earlier = asdict(config) | {"space": {}}  # run.yaml of a search with the usual network
    assert asked(synthetic, earlier)[0].space == {}


def test_auto_is_settled_and_what_is_given_stands(tracks: Dataset) -> None:
    assert asked(tracks, scheduler="none")[0].sampler == "gp"
    assert asked(tracks, scheduler="none", sampler="random")[0].sampler == "random"
    assert asked(tracks, trials=2)[0].top_k == 2


def test_several_objectives_take_the_scheduler_away_and_say_so(tracks: Dataset) -> None:
    config, notes = asked(tracks, objectives="accuracy, parameters")
    assert (config.objectives, config.scheduler) == (["accuracy", "parameters"], "none")
    assert notes[0].startswith("No trial is stopped early")
    with pytest.raises(ValueError, match="use --scheduler none"):
        asked(tracks, objectives="accuracy,parameters", scheduler="asha")
    with pytest.raises(ValueError, match="cmaes supports one objective"):
        asked(tracks, objectives="loss,latency", sampler="cmaes")


def test_space_widths_and_starts_come_together(tracks: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("dense: [32, 64]\ndecay: 0.02\n")
    config, _ = asked(tracks, space=path, search_width=True, start=["dense=32,dropout=0.1", "width=8"])
    assert list(config.distributions) == ["dropout", "learning_rate", "dense", "width"]
    assert config.fixed["decay"] == 0.02
    assert config.first_points == [
        {"dropout": 0.1, "learning_rate": 1e-3, "dense": 32, "width": 32},
        {"dropout": 0.3, "learning_rate": 1e-3, "dense": 64, "width": 8},
    ]
    path.write_text("width: 8\nbatch_size: [4, 8]\n")
    with pytest.raises(ValueError, match="leave out --search-width"):
        asked(tracks, space=path, search_width=True)
    with pytest.raises(ValueError, match="leave out --batch-size"):
        asked(tracks, space=path, batch_size=4)
    with pytest.raises(ValueError, match=r"start dropout=0.9 is outside the space, which has 0 to 0.5"):
        asked(tracks, start=["dropout=0.9"])
    with pytest.raises(ValueError, match="2 start points need as many trials, but there are only 1"):
        asked(tracks, start=["dropout=0.2", "dropout=0.3"], trials=1)


def test_an_earlier_search_is_the_default_and_options_stand_above_it(tracks: Dataset) -> None:
    first, _ = asked(tracks, trials=5, epochs=3, seed=7, search_width=True, start=["dropout=0.2"], scheduler="none")
    base = asdict(first)
    again, notes = asked(tracks, base)
    assert again == first
    assert notes == []  # all was settled the first time
    other, _ = asked(tracks, base, seed=8, sampler="auto", start=["dropout=0.4"])
    assert other == replace(first, seed=8, starts=[{"dropout": 0.4}])
    with pytest.raises(ValueError, match="no longer those that the search was run on; give --data"):
        asked(replace(tracks, digest="0" * 64), base)
    moved, _ = asked(replace(tracks, digest="0" * 64), base, also=["data"])
    assert moved == replace(first, data_digest="0" * 64)


def test_a_resumed_search_is_the_one_that_was_begun(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    same = {"seed": 0, "sampler": "auto", "objectives": "loss", "epochs": 2}
    check_unchanged(DEFAULTS | same, same, ledger)
    for name, value in (("seed", 1), ("sampler", "gp"), ("objectives", "loss,parameters"), ("epochs", 3)):
        with pytest.raises(StudyError, match=f"has --{name} .*; it cannot go on with {value}"):
            check_unchanged(DEFAULTS | {name: value}, {name}, ledger)
    for name in ("space", "search_width", "start", "config", "duplicates"):
        with pytest.raises(StudyError, match=f"--{name.replace('_', '-')} comes too late"):
            check_unchanged(DEFAULTS, {name}, ledger)
