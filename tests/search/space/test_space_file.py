import re
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from raygenre.search.space.presets import PRESETS
from raygenre.search.space.space import KINDS, Setting, SpaceError, fixed_values, to_distributions
from raygenre.search.space.space_file import read
from tests.helpers.project import ROOT

EXAMPLE = ROOT / "experiments" / "space.yaml"


def test_the_example_covers_every_value_and_form() -> None:
    entries = read(EXAMPLE)
    assert set(entries) == set(KINDS) - {"network"}  # the network is set by --model
    assert to_distributions(entries) == {
        "dropout": FloatDistribution(0.1, 0.6),
        "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "batch_size": CategoricalDistribution([8, 16, 32]),
        "augmentation": CategoricalDistribution(["none", "erasing"]),
        "width": IntDistribution(16, 48, log=True),
        "frequency_bins": IntDistribution(1, 8),
    }
    fixed = fixed_values(entries)
    changed = {name: value for name, value in fixed.items() if value != getattr(Setting(), name)}
    assert changed == {"normalisation": "batch"}


def test_the_example_names_the_values_of_the_improved_network() -> None:
    text = EXAMPLE.read_text()
    for name, value in PRESETS["improved"].entries.items():
        if not isinstance(value, dict):
            plain = f"{value:g}" if isinstance(value, float) else value
            assert re.search(rf"^{name}: .*improved: {re.escape(str(plain))}\b", text, re.MULTILINE), name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dropout: 0.3\nlearning_rte: 0.1\n", "line 2: unknown name learning_rte; did you mean learning_rate?"),
        ("# a space\n\ndropout: {low: 0.1, hgih: 0.2}\n", "line 3: dropout: unknown name hgih; did you mean high?"),
        ("dropout: {low: 0.1, high: 1}\n", "line 1: dropout: high: dropout must be from 0 to below 1, not 1.0"),
        ("width: [8, 8.5]\n", "line 1: width: 8.5 is not a whole number"),
        ("dropout: 0.1\ndropout: 0.2\n", "line 2: dropout is already defined in line 1; remove one"),
        ("dropout: {low: 0.1\n", "is not valid YAML"),
        ("dropout: !!python/object/apply:os.getcwd []\n", "is not valid YAML"),
        ("- dropout\n", "must contain lines such as"),
        ("0.3: dropout\n", "must contain lines such as"),
        ("0.3", "must contain lines such as"),
        ("# nothing\n", "is empty"),
    ],
)
def test_an_invalid_file_is_reported_with_line_and_fix(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(SpaceError, match=re.escape(message)) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))


def test_an_unreadable_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"none.yaml cannot be read \(No such file"):
        read(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(SpaceError, match=r"bytes.yaml cannot be read"):
        read(tmp_path / "bytes.yaml")
    with pytest.raises(SpaceError, match=r"cannot be read \(Is a directory"):
        read(tmp_path)
