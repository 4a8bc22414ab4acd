import errno
from pathlib import Path

from raygenre.data.dataset import Dataset
from raygenre.data.split_summary import parts
from raygenre.errors import FileAccessError
from raygenre.search.space.config import Resources
from raygenre.search.study.problems import clear_problem, note_problem, problem
from raygenre.search.study.stored_bytes import stored_bytes
from raygenre.search.summary.description import note
from raygenre.system.location import Location
from raygenre.system.numbers import bytes_text
from tests.conftest import new_ledger


def test_the_error_that_ends_a_search_is_in_its_study(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    assert problem(ledger) == ""
    note_problem(ledger, OSError(errno.ENOSPC, "No space left on device", "/data/states"))
    assert problem(ledger) == "No space left on device: /data/states"
    note_problem(ledger, FileAccessError("trial 3 cannot use its training state on the node n1: gone\nmore"))
    text = note(ledger, parts(tracks, ledger.split), Resources(1, 0))
    assert text.startswith("**The search ended with an error**: trial 3 cannot use its training state on the node n1: ")
    assert "more" not in text.splitlines()[0]
    clear_problem(ledger)
    assert "ended with an error" not in note(ledger, parts(tracks, ledger.split), Resources(1, 0))


def test_the_bytes_of_a_study_are_counted(tracks: Dataset, tmp_path: Path) -> None:
    studies, ledger = Location(str(tmp_path)), new_ledger(tmp_path, tracks)
    before = stored_bytes(studies, "study")
    assert before > 0
    ledger.checkpoint_location(0).write("epoch-0001/state.safetensors", bytes(12_345))
    assert stored_bytes(studies, "study") == before + 12_345
    assert stored_bytes(studies, "none") == 0
    assert [bytes_text(count) for count in (0, 999, 12_345, 1.2e6, 3e15)] == [
        "0 B",
        "999 B",
        "12.3 kB",
        "1.2 MB",
        "3000 TB",
    ]
