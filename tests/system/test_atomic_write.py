from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raygenre.system.atomic_write import atomic_file, atomic_folder, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def interrupted_write(path: Path) -> None:
    with atomic_file(path) as unfinished:
        unfinished.write_bytes(b"hal")
        raise KeyboardInterrupt


def failing_folder(path: Path) -> None:
    with atomic_folder(path) as unfinished:
        (unfinished / "weights").write_bytes(b"1")
        raise OSError("disk full")


def test_write_replaces_the_previous_version(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"one")
    write_atomically(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"two"
    assert names(tmp_path) == ["a"]


def test_failed_write_leaves_the_previous_version(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomically(tmp_path / "folder", b"three")
    (tmp_path / "a").write_bytes(b"one")
    with pytest.raises(KeyboardInterrupt):
        interrupted_write(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"one"
    assert names(tmp_path) == ["a", "folder"]


def test_threads_writing_in_one_folder_do_not_collide(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write_atomically(tmp_path / f"{number}", f"{number}".encode()), range(200)))
    assert all((tmp_path / f"{number}").read_text() == f"{number}" for number in range(200))
    assert len(names(tmp_path)) == 200


def test_folder_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "model") as unfinished:
        (unfinished / "weights").write_bytes(b"1")
        assert not (tmp_path / "model").exists()
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["weights"]


def test_folder_is_deleted_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk full"):
        failing_folder(tmp_path / "model")
    assert names(tmp_path) == []
