"""The causes of failures are extracted from messages like Ray's."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raygenre.search.trials.failure_reason import failure_kind, failure_reason, latest_error, summary
from raygenre.search.trials.out_of_memory import KILLED

IMPORT_FAILED = """\
The actor is dead because its worker process has died. Worker exit detail: Worker exits unexpectedly. Traceback:
Traceback (most recent call last):
  File "function_manager.py", line 657, in temporary_actor_method
    raise RuntimeError(
RuntimeError: The actor with name ImplicitFunc failed to import on the worker. This may be because:

Traceback (most recent call last):
  File "function_manager.py", line 696, in _load_actor_class_from_gcs
    actor_class = pickle.loads(pickled_class)
                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^
ModuleNotFoundError: No module named 'raygenre'


An unexpected internal error occurred while the worker was executing a task.
"""
RAISED = """\
\x1b[36mray::ImplicitFunc.train()\x1b[39m (pid=5263, ip=192.0.2.2, actor_id=5e22, repr=run)
  File "function_trainable.py", line 45, in <lambda>
    training_func=lambda: self._trainable_func(self.config),
ray.exceptions.ObjectLostError: Failed to retrieve object 00ff.
To see information about where this object was created, set an environment variable.
"""
DIED = """\
The actor died unexpectedly before finishing this task.
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker \
unexpectedly exits with a connection error code 2. End of file. There are some potential root causes. (1) The process
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (IMPORT_FAILED, "ModuleNotFoundError: No module named 'raygenre'"),
        (RAISED, "ray.exceptions.ObjectLostError: Failed to retrieve object 00ff."),
        (DIED, "its worker died repeatedly: Worker unexpectedly exits with a connection error code 2"),
        (f"{KILLED}\nTask was killed", KILLED),
        ("", "its worker died repeatedly"),
    ],
)
def test_the_reason_is_one_line_with_the_cause(text: str, reason: str) -> None:
    assert failure_reason(text) == reason


def test_the_latest_of_several_errors_is_read(tmp_path: Path) -> None:
    file = tmp_path / "error.txt"
    file.write_text("Failure # 1 (occurred at noon)\nfirst\nFailure # 2 (occurred at one)\nsecond\n")
    trial: Any = SimpleNamespace(error_file=str(file))
    assert latest_error(trial) == "second\n"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("the training loss is nan in epoch 2 (learning rate 1e+25)", "the training loss is inf in epoch 1"),
        ("the training loss is nan in epoch 2", "the validation loss is 5e19 in epoch 3, more than 10 times 2.3"),
        ("out of memory: Unable to allocate 51.2 TiB for an array", KILLED),
        ("KeyError: 'trial 3'", "KeyError: 'trial 4'"),
    ],
)
def test_failures_with_the_same_cause_are_alike(first: str, second: str) -> None:
    assert failure_kind(first) == failure_kind(second)


def test_failures_with_different_causes_are_not_alike() -> None:
    failures = ["the training loss is nan in epoch 2", KILLED, "KeyError: 'a'", "KeyError: 'b'", "ValueError: 'a'"]
    assert len({failure_kind(failure) for failure in failures}) == len(failures)


def test_a_summary_starts_with_the_most_frequent_kind() -> None:
    assert summary(["KeyError: 1", "KeyError: 2"]) == "KeyError: 1"
    assert summary(["ValueError", "KeyError: 1", "KeyError: 2"]) == "KeyError: 1 (2); ValueError (1)"
    assert summary(list("abcde")).endswith("; 2 more kinds")
