import re
from pathlib import Path

import pytest
from click import ClickException
from pydantic import ValidationError

from serve.app import app
from serve.settings import PREFIX, Settings
from tests.helpers.project import ROOT

README = (ROOT / "serve" / "README.md").read_text()


def test_the_environment_sets_what_arguments_leave_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYGENRE_MOST_BYTES", "1000")
    monkeypatch.setenv("RAYGENRE_MOST_FILES", "3")
    monkeypatch.setenv("RAYGENRE_CORS_ORIGINS", "https://a.example, https://b.example")
    found = Settings.model_validate({"most_files": "2"})  # as Ray Serve passes `most_files=2`
    assert (found.most_bytes, found.most_files) == (1000, 2)
    assert found.origins == ["https://a.example", "https://b.example"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("most_bytes", "0"),
        ("challenger_share", "2"),
        ("poll_seconds", "60"),
        ("max_replicas", "0"),
        ("threads", "x"),
        ("most_bites", "1"),
    ],
)
def test_what_cannot_be_set_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings.model_validate({name: value})


def test_at_most_is_not_less_than_at_least() -> None:
    with pytest.raises(ValidationError, match="at least min_replicas, which is 4"):
        Settings(min_replicas=4, max_replicas=2)


def test_every_setting_is_documented_and_no_other() -> None:
    rows = dict(re.findall(rf"^\| `{PREFIX}([A-Z_]+)` \| (.*?) \|", README, re.MULTILINE))
    defaults = {name.upper(): field.default for name, field in Settings.model_fields.items()}
    assert rows.keys() == defaults.keys()
    for name, default in defaults.items():
        if isinstance(default, int | float) and not isinstance(default, bool):
            assert rows[name] == f"{default:g}" if isinstance(default, float) else f"{default}", name


def test_without_a_champion_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ClickException, match=r"make tune"):
        app(Settings(storage=str(tmp_path / "empty")))
    assert not list(tmp_path.iterdir())


def test_keys_that_cannot_be_used_are_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ClickException, match="cannot be read"):
        app(Settings(storage=str(tmp_path), api_keys_file=tmp_path / "nothing"))
