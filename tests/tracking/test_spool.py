import json
import os
from pathlib import Path

import pytest

from raygenre.tracking import spool
from raygenre.tracking.spool import Spool, SpoolClosedError, Update


def start(run: str) -> Update:
    return {"do": "start", "run": run, "name": run, "parent": None, "params": {}, "tags": {}, "time": 1}


def log(run: str, step: int) -> Update:
    return {"do": "log", "run": run, "values": {"loss": 1 / step, "rate": 0.1}, "step": step, "time": step}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study" / "spool.jsonl"


def deliver_all(spooled: Spool) -> list[Update]:
    found: list[Update] = []
    while spooled.waiting:
        entries, upto = spooled.next_batch()
        found += [entry for _, entry in entries]
        spooled.mark_delivered(upto, len(entries))
    return found


def test_entries_come_out_in_order_and_once(path: Path) -> None:
    spooled = Spool(path)
    assert spooled.is_new
    said = [start("a"), *(log("a", step) for step in range(1, 4))]
    for entry in said[:3]:
        spooled.append(entry)
    assert deliver_all(spooled) == said[:3]
    spooled.append(said[3])
    assert spooled.waiting == 1
    assert deliver_all(spooled) == said[3:]
    assert spooled.next_batch()[0] == []


def test_what_was_said_and_delivered_is_known_when_opened_again(path: Path) -> None:
    spooled = Spool(path)
    for entry in (start("a"), log("a", 1), log("a", 2)):
        spooled.append(entry)
    spooled.note_run_id("a", "id-a")
    entries, upto = spooled.next_batch()
    assert len(entries) == 3
    spooled.mark_delivered(upto, 2)  # say that one is still missing
    again = Spool(path)
    assert not again.is_new
    assert again.waiting == 1
    assert again.runs["a"].steps == {"loss": {1, 2}}
    assert again.runs["a"].id == "id-a"
    assert again.new_run_ids() == [("a", "id-a")]
    assert again.new_run_ids() == []


@pytest.mark.parametrize("rest", [b'{"do":"log","run":"a","va', b"\0\0\0\0\0\n", b"{}x\n"])
def test_a_line_that_is_not_whole_is_dropped(path: Path, rest: bytes) -> None:
    spooled = Spool(path)
    spooled.append(start("a"))
    with path.open("ab") as file:
        file.write(rest)
    again = Spool(path)
    assert again.waiting == spool.count_waiting(path.read_bytes().splitlines()) == 1
    again.append(log("a", 1))
    assert Spool(path).waiting == 2


def test_a_long_backlog_is_taken_in_pieces(path: Path) -> None:
    spooled = Spool(path)
    spooled.append(start("a"))
    spooled.append({"do": "file", "run": "a", "file": "x", "base64": "x" * 1_000_000, "time": 1})
    for step in range(1, 5001):
        spooled.append(log("a", step))
    first, _ = spooled.next_batch()
    assert len(first) < 5000
    assert [entry["step"] for entry in deliver_all(spooled) if entry["do"] == "log"] == list(range(1, 5001))


def test_a_delivered_spool_shrinks_and_still_knows_its_runs(path: Path) -> None:
    spooled = Spool(path)
    spooled.append(start("a"))
    spooled.note_run_id("a", "id-a")
    for step in range(1, 101):
        spooled.append(log("a", step))
    spooled.append({"do": "end", "run": "a", "status": "FINISHED", "tags": {}, "time": 5})
    deliver_all(spooled)
    before = path.stat().st_size
    spooled.close()
    assert path.stat().st_size < before / 10
    again = Spool(path)
    assert again.waiting == spool.count_waiting(path.read_bytes().splitlines()) == 0
    assert (again.runs["a"].id, again.runs["a"].status) == ("id-a", "FINISHED")
    assert again.runs["a"].steps["loss"] == set(range(1, 101))
    again.append(log("a", 101))
    assert [entry["step"] for entry in deliver_all(again)] == [101]


def test_a_spool_that_is_not_delivered_is_kept_whole(path: Path) -> None:
    spooled = Spool(path)
    spooled.append(start("a"))
    before = path.read_bytes()
    spooled.close()
    assert path.read_bytes() == before
    with pytest.raises(SpoolClosedError):
        spooled.append(log("a", 1))


def test_a_full_disk_leaves_no_half_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spooled = Spool(path)
    spooled.append(start("a"))
    before = path.read_bytes()
    write = os.write

    def full(file: int, data: bytes) -> int:
        if len(data) < 10:
            raise OSError(28, "No space left on device")
        return write(file, data[: len(data) - 5])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        spooled.append(log("a", 1))
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert spooled.waiting == 1
    spooled.append(log("a", 1))
    assert Spool(path).waiting == 2


def test_what_is_refused_is_put_aside_with_its_reason(path: Path) -> None:
    spooled = Spool(path)
    spooled.set_aside(log("a", 1), "the run is deleted")
    kept = json.loads(path.with_name("spool-refused.jsonl").read_text())
    assert kept == {"reason": "the run is deleted", **log("a", 1)}
    assert spooled.refused == 1
