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
    delivered: list[Update] = []
    while spooled.waiting:
        batch, upto = spooled.next_batch()
        delivered += [update for _, update in batch]
        spooled.mark_delivered(upto, len(batch))
    return delivered


def test_updates_come_out_in_order_and_once(path: Path) -> None:
    spooled = Spool(path)
    assert spooled.is_new
    updates = [start("a"), *(log("a", step) for step in range(1, 4))]
    for update in updates[:3]:
        spooled.append(update)
    assert deliver_all(spooled) == updates[:3]
    spooled.append(updates[3])
    assert spooled.waiting == 1
    assert deliver_all(spooled) == updates[3:]
    assert spooled.next_batch()[0] == []


def test_a_reopened_spool_remembers_updates_and_deliveries(path: Path) -> None:
    spooled = Spool(path)
    for update in (start("a"), log("a", 1), log("a", 2)):
        spooled.append(update)
    spooled.note_run_id("a", "id-a")
    batch, upto = spooled.next_batch()
    assert len(batch) == 3
    spooled.mark_delivered(upto, 2)  # one of three has not been delivered
    reopened = Spool(path)
    assert not reopened.is_new
    assert reopened.waiting == 1
    assert reopened.runs["a"].steps == {"loss": {1, 2}}
    assert reopened.runs["a"].id == "id-a"
    assert reopened.new_run_ids() == [("a", "id-a")]
    assert reopened.new_run_ids() == []


@pytest.mark.parametrize("rest", [b'{"do":"log","run":"a","va', b"\0\0\0\0\0\n", b"{}x\n"])
def test_an_incomplete_last_line_is_dropped(path: Path, rest: bytes) -> None:
    spooled = Spool(path)
    spooled.append(start("a"))
    with path.open("ab") as file:
        file.write(rest)
    reopened = Spool(path)
    assert reopened.waiting == spool.count_waiting(path.read_bytes().splitlines()) == 1
    reopened.append(log("a", 1))
    assert Spool(path).waiting == 2


def test_a_long_backlog_is_read_in_batches(path: Path) -> None:
    spooled = Spool(path)
    spooled.append(start("a"))
    spooled.append({"do": "file", "run": "a", "file": "x", "base64": "x" * 1_000_000, "time": 1})
    for step in range(1, 5001):
        spooled.append(log("a", step))
    first, _ = spooled.next_batch()
    assert len(first) < 5000
    assert [update["step"] for update in deliver_all(spooled) if update["do"] == "log"] == list(range(1, 5001))


def test_a_delivered_spool_shrinks_and_keeps_its_runs(path: Path) -> None:
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
    reopened = Spool(path)
    assert reopened.waiting == spool.count_waiting(path.read_bytes().splitlines()) == 0
    assert (reopened.runs["a"].id, reopened.runs["a"].status) == ("id-a", "FINISHED")
    assert reopened.runs["a"].steps["loss"] == set(range(1, 101))
    reopened.append(log("a", 101))
    assert [update["step"] for update in deliver_all(reopened)] == [101]


def test_an_undelivered_spool_stays_unchanged(path: Path) -> None:
    spooled = Spool(path)
    spooled.append(start("a"))
    before = path.read_bytes()
    spooled.close()
    assert path.read_bytes() == before
    with pytest.raises(SpoolClosedError):
        spooled.append(log("a", 1))


def test_a_full_disk_leaves_no_partial_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_rejected_updates_are_saved_with_the_reason(path: Path) -> None:
    spooled = Spool(path)
    spooled.set_aside(log("a", 1), "the run is deleted")
    saved = json.loads(path.with_name("spool-refused.jsonl").read_text())
    assert saved == {"reason": "the run is deleted", **log("a", 1)}
    assert spooled.refused == 1
