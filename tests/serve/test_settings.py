import re
from pathlib import Path

import pytest
from click import ClickException
from pydantic import ValidationError

from serve.app import app
from serve.settings import PREFIX, Settings
from tests.helpers.project import ROOT

README = (ROOT / "serve" / "README.md").read_text()


def test_arguments_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYGENRE_MOST_BYTES", "1000")
    monkeypatch.setenv("RAYGENRE_MOST_FILES", "3")
    monkeypatch.setenv("RAYGENRE_CORS_ORIGINS", "https://a.example, https://b.example")
    settings = Settings.model_validate({"most_files": "2"})  # as Ray Serve passes `most_files=2`
    assert (settings.most_bytes, settings.most_files) == (1000, 2)
    assert settings.origins == ["https://a.example", "https://b.example"]


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
def test_an_invalid_setting_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings.model_validate({name: value})


def test_max_replicas_is_at_least_min_replicas() -> None:
    with pytest.raises(ValidationError, match="at least min_replicas, which is 4"):
        Settings(min_replicas=4, max_replicas=2)


def test_the_readme_lists_exactly_the_settings() -> None:
    rows = dict(re.findall(rf"^\| `{PREFIX}([A-Z_]+)` \| (.*?) \|", README, re.MULTILINE))
    defaults = {name.upper(): field.default for name, field in Settings.model_fields.items()}
    assert rows.keys() == defaults.keys()
    for name, default in defaults.items():
        if isinstance(default, int | float) and not isinstance(default, bool):
            assert rows[name] == f"{default:g}" if isinstance(default, float) else f"{default}", name


def test_without_a_champion_the_error_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ClickException, match=r"make tune"):
        app(Settings(storage=str(tmp_path / "empty")))
    assert not list(tmp_path.iterdir())


def test_unusable_keys_are_reported_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ClickException, match="cannot read the API key file"):
        app(Settings(storage=str(tmp_path), api_keys_file=tmp_path / "nothing"))
