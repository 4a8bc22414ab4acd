"""The log of written tags."""

from dataclasses import replace
from pathlib import Path

import pytest

from raygenre.tagging.log import LogError, Record, TagLog, read_log

RECORD = Record("/music/\udcff.mp3", ["Rock"], {}, {"TCON": ["x"]}, "a", "b", [(0, 9), "AA=="])


def test_records_are_read_back(tmp_path: Path) -> None:
    other = replace(RECORD, file="two")
    with TagLog(tmp_path / "log") as log:
        log.append(RECORD)
    with TagLog(tmp_path / "log") as log:
        log.append(other)
    assert read_log(tmp_path / "log") == [RECORD, other]


def test_a_torn_last_line_is_ignored_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with TagLog(path) as log:
        log.append(RECORD)
    path.write_bytes(path.read_bytes() + b'{"version": 1, "fi')
    assert read_log(path) == [RECORD]
    with TagLog(path) as log:
        log.append(RECORD)
    assert read_log(path) == [RECORD, RECORD]


def test_only_one_process_writes_a_log(tmp_path: Path) -> None:
    with TagLog(tmp_path / "log"), pytest.raises(LogError, match="in use by another `raygenre tag`"):
        TagLog(tmp_path / "log")


@pytest.mark.parametrize("text", ["a song\n", "[1]\n", "{}\n", '{"version": 1, "time": "", "steps": 3}\n'])
def test_other_files_are_not_logs(text: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(text)
    with pytest.raises(LogError, match="line 1: this is not a log"):
        read_log(path)
    with pytest.raises(LogError, match="line 1: this is not a log"):
        TagLog(path)
    assert path.read_text() == text


def test_a_file_without_line_breaks_is_left_unchanged(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text('{"songs": 3}')
    with pytest.raises(LogError, match="not a log of `raygenre tag`; choose another --log"):
        TagLog(tmp_path / "notes.json")
    assert (tmp_path / "notes.json").read_text() == '{"songs": 3}'


def test_a_log_of_a_newer_version_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "log").write_text('{"version": 2, "time": ""}\n')
    with pytest.raises(LogError, match="version 2 is newer than this raygenre; update raygenre"):
        read_log(tmp_path / "log")


@pytest.mark.parametrize("name", ["missing/log", "", "/dev/full"])
def test_unusable_places_are_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(LogError, match="cannot be written"):
        TagLog(tmp_path / name)
