"""Submitted options are restored completely, together with the files that they refer to."""

import json
from pathlib import Path

import pytest

from raygenre.search.options import Options
from raygenre.studies.request import Request, RequestError, resuming


def test_options_come_back(tmp_path: Path) -> None:
    options = Options(data=Path("songs"), study="spring", trials=4, start=("dropout=0.1",), given=frozenset({"trials"}))
    request = Request.of(options, with_files=False, ship=True, variables=("KEY",))
    again = Request.from_json(request.to_json())
    assert again == request
    assert again.unpacked(tmp_path) == request.options
    assert request.options.data == Path.cwd() / "songs"
    assert not list(tmp_path.iterdir())


def test_files_travel_with_the_options(tmp_path: Path) -> None:
    space, lists = tmp_path / "space.yaml", tmp_path / "lists"
    space.write_text("width: 8\n")
    lists.mkdir()
    (lists / "train.txt").write_text("a\n")
    (lists / "test.txt").write_text("b\n")
    options = Options(data=Path("songs"), space=space, split_lists=lists)
    text = Request.of(options, with_files=True, ship=False, variables=()).to_json()
    unpacked = Request.from_json(text).unpacked(tmp_path / "driver")
    assert unpacked.space
    assert unpacked.split_lists
    assert unpacked.space.read_text() == "width: 8\n"
    assert unpacked.split_lists.parent == tmp_path / "driver"
    assert sorted(path.name for path in unpacked.split_lists.iterdir()) == ["test.txt", "train.txt"]
    assert unpacked.data == Path("songs"), "the data stays where it is"


def test_passwords_are_not_stored() -> None:
    options = Options(study_url="postgresql://ann:s3cret@host/x", address="http://head:8265")
    assert "s3cret" not in Request.of(options, with_files=True, ship=True, variables=()).to_json()


def test_another_version_is_named() -> None:
    content = json.loads(Request.of(Options(), with_files=False, ship=True, variables=()).to_json())
    content["options"]["rounds"] = 3
    with pytest.raises(RequestError, match="another version of raygenre, with options that this version lacks: rounds"):
        Request.from_json(json.dumps(content))


def test_resuming_keeps_only_the_placement() -> None:
    options = Options(study="spring", trials=4, gpus_per_trial=0.5, given=frozenset({"trials", "gpus_per_trial"}))
    assert resuming(options) == Options(
        study="spring", gpus_per_trial=0.5, resume=True, given=frozenset({"gpus_per_trial"})
    )
