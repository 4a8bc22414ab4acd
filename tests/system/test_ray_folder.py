"""The choice of a folder for Ray, checked without starting Ray."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from raygenre.system.ray_folder import MAX_BYTES, RayFolderError, ray_folder


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder used instead of /tmp; pytest's own folders have paths too long for sockets."""
    for name in ("RAY_TMPDIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="rf"))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder)


def private(parent: Path) -> Path:
    return parent / f"ray-{os.geteuid()}"


def longest(folder: Path) -> Path:
    return folder / ("x" * (MAX_BYTES - len(str(folder)) - 1))


def test_suitable_folder_is_left_to_ray(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ray_folder() is None
    (short / "ray").mkdir()
    assert ray_folder() is None
    monkeypatch.setenv("TMPDIR", str(longest(short)))
    assert ray_folder() is None
    assert not private(short).exists()


def test_longest_folder_is_one_that_ray_accepts(short: Path) -> None:
    from ray._private.utils import validate_socket_filepath

    session = "ray/session_2026-11-28_12-21-00_123456_4194304/sockets/plasma_store"
    validate_socket_filepath(f"{longest(short)}/{session}")
    with pytest.raises(OSError, match="AF_UNIX path length"):
        validate_socket_filepath(f"{longest(short)}x/{session}")


def test_long_tmpdir_gives_a_private_folder(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", f"{longest(short)}x")
    assert ray_folder((short,)) == private(short)
    assert private(short).stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("RAY_TMPDIR", str(private(short)))  # use_ray_folder sets it too
    assert ray_folder((short,)) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
@pytest.mark.parametrize("owned", ["ray", "ray/ray_current_cluster"])
def test_folder_of_another_user_is_not_used(short: Path, owned: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (short / "ray").mkdir(mode=0o777)
    (short / "ray" / "ray_current_cluster").write_text("")
    os.chown(short / owned, 12345, -1)
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).stat().st_uid == 0)  # root may write everything
    assert ray_folder((short,)) == private(short)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_private_folder_must_be_our_own(short: Path) -> None:
    (short / "ray").mkdir()
    os.chown(short / "ray", 12345, -1)
    first, second, third = (short / name for name in "123")
    for parent in (first, second, third):
        parent.mkdir()
    private(first).mkdir()
    os.chown(private(first), 12345, -1)
    private(second).symlink_to(third)
    with pytest.raises(RayFolderError) as raised:
        ray_folder((first, second))
    message = str(raised.value)
    assert f"{short}/ray belongs to the user with id 12345" in message
    assert f"{private(first)} belongs to the user with id 12345" in message
    assert f"{private(second)} is not a folder" in message
    assert f"set RAY_TMPDIR to a folder of your own whose path has at most {MAX_BYTES} bytes" in message
    assert "\n" not in message
    assert ray_folder((first, second, third)) == private(third)


def test_private_folder_is_closed_to_others(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "relative")
    private(short).mkdir(mode=0o755)
    assert ray_folder((short,)) == private(short)
    assert private(short).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ("x" * MAX_BYTES, "bytes, too many for a socket"),
        ("file", "file cannot be written"),
    ],
)
def test_unsuitable_ray_tmpdir_is_an_error(
    short: Path, chosen: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (short / "file").write_text("")
    monkeypatch.setenv("RAY_TMPDIR", str(short / chosen))
    with pytest.raises(RayFolderError, match=rf"RAY_TMPDIR=.*{message}.*set RAY_TMPDIR to"):
        ray_folder((short,))


def test_ray_tmpdir_is_respected(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "x" * 200)
    monkeypatch.setenv("RAY_TMPDIR", str(short / "missing"))
    assert ray_folder((short,)) is None


def test_empty_variable_counts_as_unset(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "")
    assert ray_folder() == short
