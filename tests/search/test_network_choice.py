"""`--model`: which network is searched and why, and which options are incompatible."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from raygenre.data.dataset import Dataset
from raygenre.pretrained import store
from raygenre.pretrained.store import PretrainedError
from raygenre.search.network_choice import choose_network
from raygenre.search.options import OptionError, Options
from raygenre.search.resolve import SMALL, resolve
from raygenre.search.space import config_file
from raygenre.search.space.config import SearchConfig
from raygenre.search.space.presets import HEAD
from raygenre.search.space.space import SpaceError
from tests.helpers.musicnn import small_features

OFFER = "MSD_musicnn is not installed; run `raygenre pretrained install`"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYGENRE_CACHE", str(tmp_path / "cache"))
    small_features(store.default_folder())


def options(**given: Any) -> Options:
    return Options(**given, given=frozenset(given))


def searched(tracks: Dataset, base: dict[str, Any] | None = None, **given: Any) -> SearchConfig:
    """Return the configuration of a search with these options."""
    network, _ = choose_network(options(**given), tracks, base)
    return resolve(options(**given), tracks, base, network=network)[0]


def mixed(songs: Dataset, tracks: Dataset) -> Dataset:
    """Return a data set of songs in which the first file is an image."""
    return replace(songs, files=(tracks.files[0], *songs.files[1:]))


@pytest.mark.usefixtures("installed")
def test_auto_says_why(songs: Dataset, tracks: Dataset) -> None:
    assert choose_network(options(), songs) == (
        "head",
        "a network on the features of MSD_musicnn, because the tracks are audio; --model cnn: on spectrograms",
    )
    because = "a network on spectrograms, because"
    assert choose_network(options(), tracks) == ("cnn", f"{because} the tracks are spectrogram images")
    assert choose_network(options(), mixed(songs, tracks)) == (
        "cnn",
        f"{because} 1 of 30 tracks are spectrogram images",
    )
    for name, value in {"preset": "original", "search_width": True, "start": ("dropout=0.1",)}.items():
        reason = f"{because} --{name.replace('_', '-')} is set"
        assert choose_network(options(**{name: value}), songs) == ("cnn", reason)
    assert choose_network(options(), replace(songs, source="synthetic", files=())) == ("cnn", "")
    assert choose_network(options(model="cnn"), songs) == ("cnn", "")


def test_missing_weights_are_offered_in_one_line(songs: Dataset, tracks: Dataset) -> None:
    network, why = choose_network(options(), songs)
    assert network == "cnn"
    assert why == f"a network on spectrograms, because {OFFER} (29 MB)"
    assert OFFER not in choose_network(options(), tracks)[1]  # the pretrained network cannot process images
    with pytest.raises(PretrainedError, match="MSD_musicnn is not installed; run `raygenre pretrained install`"):
        choose_network(options(model="pretrained"), songs)


@pytest.mark.usefixtures("installed")
def test_pretrained_features_need_recordings(songs: Dataset, tracks: Dataset) -> None:
    assert choose_network(options(model="pretrained"), songs) == ("head", "a network on the features of MSD_musicnn")
    synthetic = replace(songs, source="synthetic", files=())
    assert choose_network(options(model="pretrained"), synthetic)[0] == "head"
    for data, which in ((tracks, "the tracks are"), (mixed(songs, tracks), "1 of 30 tracks are")):
        with pytest.raises(OptionError, match=f"^{which} spectrogram images, .*; use --model cnn, or pass"):
            choose_network(options(model="pretrained"), data)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("given", [{"preset": "improved"}, {"search_width": True}, {"augmentation": "erasing"}])
def test_options_of_the_cnn_are_refused(songs: Dataset, given: dict[str, Any]) -> None:
    name = next(iter(given)).replace("_", "-")
    with pytest.raises(OptionError, match=f"--model pretrained trains .*; leave out --{name}"):
        choose_network(options(model="pretrained", **given), songs)
    base = asdict(searched(songs, model="pretrained"))
    with pytest.raises(OptionError, match=f"--config trains .*; leave out --{name}"):
        choose_network(options(**given), songs, base)


@pytest.mark.usefixtures("installed")
def test_the_head_is_searched_over_its_own_values(songs: Dataset) -> None:
    config = searched(songs, model="pretrained")
    assert config.input == "features"
    assert config.space == HEAD.entries
    assert (config.epochs, config.batch_size) == (HEAD.epochs, HEAD.batch_size)
    assert list(config.distributions) == ["dropout", "learning_rate", "decay"]
    [point] = config.first_points
    assert (point["dropout"], point["learning_rate"]) == (HEAD.start.dropout, HEAD.start.learning_rate)
    synthetic = searched(replace(songs, source="synthetic", files=()), model="pretrained")
    assert (synthetic.space, synthetic.epochs, synthetic.trials) == (HEAD.entries, HEAD.epochs, SMALL["trials"])


@pytest.mark.usefixtures("installed")
def test_a_space_for_the_head_has_only_its_values(songs: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("dense: [32, 64]\nlabel_smoothing: 0.1\n")
    config = searched(songs, model="pretrained", space=path)
    assert config.space == HEAD.entries | {"dense": [32, 64], "label_smoothing": 0.1}
    # The file overrides the earlier search's entries, but not its network, which a file cannot specify.
    again = searched(songs, asdict(searched(songs, model="pretrained")), space=path)
    assert again.space == config.space
    path.write_text("width: 8\n")
    for base in (None, asdict(config)):
        given: dict[str, Any] = {"space": path} | ({} if base else {"model": "pretrained"})
        with pytest.raises(SpaceError, match="width has no effect on a network that uses pretrained features; use"):
            searched(songs, base, **given)
    path.write_text("network: head\n")
    with pytest.raises(SpaceError, match="--model sets the network; remove the line"):
        searched(songs, model="cnn", space=path)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("text", ["batch_size: 1\n", "batch_size: [1, 8]\n", "batch_size: {low: 1, high: 8}\n", ""])
def test_batches_of_one_track_are_refused(songs: Dataset, tmp_path: Path, text: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    given: dict[str, Any] = {"space": path} if text else {"batch_size": 1}
    with pytest.raises(SpaceError, match="batch_size must be at least 2 for pretrained features"):
        searched(songs, model="pretrained", **given)


@pytest.mark.usefixtures("installed")
def test_run_yaml_repeats_a_search_on_features(songs: Dataset, tracks: Dataset, tmp_path: Path) -> None:
    config = searched(songs, model="pretrained", trials=4)
    config_file.save(config, tmp_path)
    base = config_file.read(tmp_path / config_file.NAME)
    assert searched(songs, base) == config
    assert choose_network(options(), songs, base) == ("head", "")
    with pytest.raises(OptionError, match="--config already specifies the network; omit --model"):
        searched(songs, base, model="cnn")
    with pytest.raises(OptionError, match="the tracks are spectrogram images"):
        searched(tracks, base, data=Path(tracks.source))


def test_run_yaml_of_a_search_on_features_needs_the_weights(songs: Dataset, tmp_path: Path) -> None:
    with pytest.raises(PretrainedError, match="run `raygenre pretrained install`"):
        choose_network(options(), songs, {"space": {"network": "head"}})
    config = asdict(resolve(options(), songs, network="head")[0])
    with pytest.raises(SpaceError, match="network cannot be searched"):
        SearchConfig(**config | {"space": {"network": ["cnn", "head"]}})
