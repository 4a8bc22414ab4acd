import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from raygenre.data import splits
from raygenre.data.dataset import Dataset
from raygenre.search.space.samplers import sampler
from raygenre.search.space.space import default_space
from raygenre.search.study import checkpoint_retention
from raygenre.search.study.backend import StudyError, latest_study
from raygenre.search.study.ledger import CHECKPOINT, EPOCH_TIMES, RUN, Ledger
from raygenre.search.study.names import JOURNAL
from raygenre.search.study.study_attributes import get_or_compute
from raygenre.system.location import Location
from tests.conftest import new_ledger, small_config

SAMPLER = sampler("random", seed=0, trials=9)
SPACE = default_space(2)


def start_trial(ledger: Ledger) -> int:
    return ledger.start_trial(SAMPLER, SPACE).number


def test_a_reopened_study_has_all_its_data(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    number = start_trial(ledger)
    ledger.report(number, epoch=1, loss=0.5)
    assert ledger.trial_run(number) is None
    ledger.note(number, RUN, "run-1")
    get_or_compute(ledger, "fact", lambda: {"a": 1})
    ledger.close()
    reopened = Ledger.open(Location(str(tmp_path)), "study", url=None)
    assert reopened.config == ledger.config
    assert reopened.split == ledger.split
    [trial] = reopened.unfinished()
    assert trial.intermediate_values == {1: 0.5}
    assert reopened.trial_run(number) == "run-1"
    assert get_or_compute(reopened, "fact", lambda: {"a": 2}) == {"a": 1}


def test_a_trial_ends_in_the_right_state(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks, trials=4)
    complete, pruned, empty, failed = (start_trial(ledger) for _ in range(4))
    for epoch, loss in ((1, 0.4), (2, 0.6)):
        ledger.report(complete, epoch=epoch, loss=loss)
        ledger.report(failed, epoch=epoch, loss=loss)
    ledger.report(pruned, epoch=1, loss=0.1)
    assert ledger.finish(complete) is TrialState.COMPLETE
    assert ledger.finish(pruned) is TrialState.PRUNED
    assert ledger.finish(empty) is TrialState.FAIL
    assert ledger.finish(failed, failure="it diverged") is TrialState.FAIL
    assert ledger.trials[complete].value == 0.4  # the lowest value, not the last
    assert ledger.trials[pruned].intermediate_values == {1: 0.1}
    assert ledger.failure(failed) == "it diverged"
    assert "before its first epoch" in (ledger.failure(empty) or "")
    assert [trial.number for trial in ledger.top(5)] == [complete]


def test_an_epoch_is_recorded_once(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    number = start_trial(ledger)
    ledger.report(number, epoch=1, loss=0.5)
    ledger.report(number, epoch=1, loss=0.9)
    assert ledger.trials[number].intermediate_values == {1: 0.5}


def test_the_first_setting_is_the_default(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    assert ledger.trials == []
    start_trial(ledger), start_trial(ledger)
    assert ledger.trials[0].params == {"dropout": 0.3, "learning_rate": 1e-3, "decay": 0.05}
    assert ledger.trials[1].params != ledger.trials[0].params
    assert len(ledger.trials) == 2


def test_top_orders_by_value_then_number(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks, trials=3)
    for loss in (0.5, 0.3, 0.3):
        number = start_trial(ledger)
        ledger.report(number, epoch=2, loss=loss)
        ledger.finish(number)
    assert [trial.number for trial in ledger.top(3)] == [1, 2, 0]


def test_an_existing_study_cannot_be_created_again(tracks: Dataset, tmp_path: Path) -> None:
    new_ledger(tmp_path, tracks).close()
    with pytest.raises(StudyError, match="--resume"):
        new_ledger(tmp_path, tracks)


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "a b", "x" * 200])
def test_an_invalid_study_name_is_refused(tracks: Dataset, tmp_path: Path, name: str) -> None:
    with pytest.raises(StudyError, match="letters"):
        new_ledger(tmp_path, tracks, name)
    assert not list(tmp_path.iterdir())


def test_an_unknown_study_lists_the_existing_ones(tracks: Dataset, tmp_path: Path) -> None:
    new_ledger(tmp_path, tracks, "autumn").close()
    with pytest.raises(StudyError, match=r"no study spring.*existing studies: autumn"):
        Ledger.open(Location(str(tmp_path)), "spring", url=None)


def test_a_second_driver_is_refused_until_the_first_ends(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    program = (
        "import sys; from raygenre.system.location import Location; from raygenre.search.study.ledger import Ledger\n"
        "Ledger.open(Location(sys.argv[1]), 'study', url=None)"
    )
    second = [sys.executable, "-c", program, str(tmp_path)]
    result = subprocess.run(second, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode != 0
    assert f"another driver (process {os.getpid()}) is running the study study" in result.stderr
    ledger.close()
    subprocess.run(second, check=True, timeout=120)


def test_the_number_of_trials_can_only_be_raised(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    ledger.extend(7)
    ledger.close()
    reopened = Ledger.open(Location(str(tmp_path)), "study", url=None)
    assert reopened.config.trials == 7
    with pytest.raises(StudyError, match="can only increase"):
        reopened.extend(6)


def test_a_study_can_be_in_a_database(tracks: Dataset, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    config = small_config(tracks)
    split = splits.random_split(tracks, seed=0, folds=1, validation=0.25, duplicates=[])
    ledger = Ledger.create(Location(str(tmp_path / "studies")), "study", config=config, split=split, url=url)
    ledger.report(start_trial(ledger), epoch=1, loss=0.5)
    ledger.close()
    [trial] = Ledger.open(Location(str(tmp_path / "studies")), "study", url=url).unfinished()
    assert trial.intermediate_values == {1: 0.5}
    assert not (tmp_path / "studies" / "study" / "journal.log").exists()


def test_the_latest_study_is_the_one_used_last(tracks: Dataset, tmp_path: Path) -> None:
    for timestamp, name in ((100, "b"), (200, "a")):
        new_ledger(tmp_path, tracks, name).close()
        os.utime(tmp_path / name / "lock", (timestamp, timestamp))
    assert latest_study(Location(str(tmp_path))) == "a"
    with pytest.raises(StudyError, match="no study"):
        latest_study(Location(str(tmp_path / "nowhere")))


def test_a_study_whose_creation_failed_can_be_created_again(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    journal = ledger.folder / "journal.log"
    ledger.close()
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:2]))  # no configuration yet
    new_ledger(tmp_path, tracks)


def test_a_study_without_its_last_entry_can_be_loaded(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    journal = ledger.folder / "journal.log"
    ledger.close()
    entries = journal.read_text().splitlines(keepends=True)
    assert "data_digest" in entries[-1]  # the configuration
    journal.write_text("".join(entries[:-1]))
    reopened = Ledger.open(Location(str(tmp_path)), "study", url=None)
    assert reopened.config == ledger.config
    reopened.close()


def test_a_folder_with_older_results_is_refused(tracks: Dataset, tmp_path: Path) -> None:
    (tmp_path / "study" / "final-0001-5").mkdir(parents=True)
    with pytest.raises(StudyError, match="final-0001-5"):
        new_ledger(tmp_path, tracks)


def test_an_incomplete_journal_entry_is_removed(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    number = start_trial(ledger)
    ledger.close()
    with (tmp_path / "study" / "journal.log").open("ab") as journal:
        journal.write(b'{"op_code":8,"worker_id":"x","trial_i')  # simulates a full disk
    reopened = Ledger.open(Location(str(tmp_path)), "study", url=None)
    reopened.report(number, epoch=1, loss=0.5)
    reopened.close()
    assert Ledger.open(Location(str(tmp_path)), "study", url=None).unfinished()[0].intermediate_values == {1: 0.5}


def test_a_locked_journal_delays_a_report(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    number = start_trial(ledger)
    lock = tmp_path / "study" / "journal.log.lock"
    lock.touch()  # simulates another process that writes slowly
    threading.Timer(1.5, lock.unlink).start()
    started = time.monotonic()
    ledger.report(number, epoch=1, loss=0.5)
    assert 1.2 < time.monotonic() - started < 20
    assert ledger.unfinished()[0].intermediate_values == {1: 0.5}


def test_a_locked_database_delays_a_report(tracks: Dataset, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    ledger = new_ledger(tmp_path, tracks, url=url)
    number = start_trial(ledger)
    connection = sqlite3.connect(tmp_path / "study.db", isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    threading.Timer(7, lambda: connection.execute("COMMIT")).start()  # SQLite's default timeout is 5 s
    ledger.report(number, epoch=1, loss=0.5)
    assert ledger.unfinished()[0].intermediate_values == {1: 0.5}
    connection.close()


def test_a_foreign_study_of_the_same_name_is_not_touched(tracks: Dataset, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'team.db'}"
    theirs = optuna.create_study(study_name="study", storage=url, direction="maximize")
    theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    with pytest.raises(StudyError, match="that raygenre did not create"):
        new_ledger(tmp_path / "studies", tracks, url=url)
    assert not optuna.load_study(study_name="study", storage=url).user_attrs


def test_a_study_in_a_database_belongs_to_one_folder(tracks: Dataset, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'team.db'}"
    ledger = new_ledger(tmp_path / "mine", tracks, url=url)
    assert not (ledger.folder / JOURNAL).exists()
    (tmp_path / "yours" / "study").mkdir(parents=True)
    with pytest.raises(StudyError, match="was not created in"):
        Ledger.open(Location(str(tmp_path / "yours")), "study", url=url)
    ledger.close()
    with pytest.raises(StudyError, match="use --study-url"):
        Ledger.open(Location(str(tmp_path / "mine")), "study", url=None)
    assert Ledger.open(Location(str(tmp_path / "mine")), "study", url=url).id == ledger.id


@pytest.mark.parametrize("url", ["team", "sqlite:////nowhere/team.db", "mysql+pymysql://user:word@127.0.0.1:9/team"])
def test_an_unusable_database_is_refused(tracks: Dataset, tmp_path: Path, url: str) -> None:
    with pytest.raises(StudyError, match="database of --study-url cannot be used"):
        new_ledger(tmp_path / "studies", tracks, url=url)
    with pytest.raises(StudyError, match="no study"):
        latest_study(Location(str(tmp_path / "studies")))


def test_a_refused_study_is_not_the_latest(tracks: Dataset, tmp_path: Path) -> None:
    new_ledger(tmp_path, tracks, "autumn").close()
    (tmp_path / "spring").mkdir()
    (tmp_path / "spring" / "lock").touch()
    assert latest_study(Location(str(tmp_path))) == "autumn"


def test_foreign_files_among_the_states_are_ignored(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    number = start_trial(ledger)
    for name in (".DS_Store", f"{number:04d}", "0007"):
        (ledger.folder / "trials" / name).mkdir(parents=True)
    assert checkpoint_retention.removable(ledger) == [7]
    checkpoint_retention.remove(ledger, [7])
    assert sorted(path.name for path in (ledger.folder / "trials").iterdir()) == [".DS_Store", "0000"]


@pytest.mark.parametrize("objectives", [["loss"], ["loss", "parameters"]])
def test_an_ended_trial_has_the_times_of_its_reports(tracks: Dataset, tmp_path: Path, objectives: list[str]) -> None:
    ledger = new_ledger(tmp_path, tracks, objectives=objectives)
    number = start_trial(ledger)
    reported = [time.time()]
    for epoch in (1, 2, 2):  # a resumed trial reports its epochs again
        ledger.report(number, epoch=epoch, loss=0.5)
        reported.append(time.time())
        time.sleep(0.3)
    ledger.finish(number, measured={"objective_loss": 0.5, "objective_parameters": 9.0})
    times = ledger.trials[number].user_attrs[EPOCH_TIMES]
    assert reported[0] - 0.06 <= times["1"] <= reported[1] + 0.06  # the stored times are rounded to tenths of a second
    assert reported[1] + 0.24 <= times["2"] <= reported[2] + 0.06


def test_a_killed_drivers_journal_lock_is_removed(tracks: Dataset, tmp_path: Path) -> None:
    new_ledger(tmp_path, tracks).close()
    (tmp_path / "study" / "journal.log.lock").touch()
    started = time.monotonic()
    Ledger.open(Location(str(tmp_path)), "study", url=None)
    assert time.monotonic() - started < 10  # Optuna would wait for 30 s


def test_every_trial_has_its_checkpoint_path(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path, tracks)
    ledger.study.enqueue_trial({"dropout": 0.1})
    start_trial(ledger), start_trial(ledger)
    assert [trial.user_attrs[CHECKPOINT] for trial in ledger.trials] == ["trials/0000", "trials/0001"]


def test_moved_database_study_is_resumed_but_a_copy_is_not(tracks: Dataset, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    new_ledger(first / "studies", tracks, url=url).close()
    shutil.copytree(first, second)
    with pytest.raises(StudyError, match=rf"is a copy of {first}/studies/study.* --storage {first}, or delete"):
        Ledger.open(Location(str(second / "studies")), "study", url=url)
    Ledger.open(Location(str(first / "studies")), "study", url=url).close()
    shutil.rmtree(first)
    Ledger.open(Location(str(second / "studies")), "study", url=url).close()
    second.rename(third)
    Ledger.open(Location(str(third / "studies")), "study", url=url).close()
