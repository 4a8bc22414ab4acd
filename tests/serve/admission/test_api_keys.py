from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.datastructures import Headers

from serve.admission.api_keys import KeyProblemError, KeyRing, Keys, check_exposure
from serve.settings import Settings

LONG, OTHER = "a" * 32, "b" * 32


def keys(text: str = "", file: Path | None = None) -> Keys:
    return Keys.of(Settings(api_keys=SecretStr(text), api_keys_file=file))


def test_no_key_lets_everybody_in() -> None:
    assert keys().admit(Headers({}))


def test_several_keys_are_valid_at_a_time_from_settings_and_file(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"# two teams\n\n{OTHER}  # the second\n")
    both = keys(f" {LONG} ,", tmp_path / "keys")
    assert [both.admit(Headers({"x-api-key": key})) for key in (LONG, OTHER, LONG[:-1], "")] == [
        True,
        True,
        False,
        False,
    ]


def test_the_keys_themselves_are_not_kept() -> None:
    assert LONG not in repr(keys(LONG))
    assert LONG.encode() not in b"".join(keys(LONG).hashes)
    assert LONG not in repr(Settings(api_keys=SecretStr(LONG)))


def test_odd_headers_are_no_key() -> None:
    for value in ("Bearer", "Bearer \xff\xfe", "Bearer" + " " * 50, "x" * 10_000):
        assert not keys(LONG).admit(Headers({"authorization": value}))


def test_a_short_key_is_refused() -> None:
    with pytest.raises(KeyProblemError, match="fewer than 16"):
        keys("short")


@pytest.mark.parametrize("content", [None, b"", b"# nothing\n", b"\xff\xfe\xff"])
def test_a_file_without_keys_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "keys").write_bytes(content)
    with pytest.raises(KeyProblemError):
        keys(LONG, tmp_path / "keys")


def test_keys_are_exchanged_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(LONG)
    ring = KeyRing(keys("c" * 32, file), file)

    def admitted() -> list[bool]:
        return [ring.admit(Headers({"x-api-key": key})) for key in (LONG, OTHER, "c" * 32)]

    for content, expected in (
        (f"{LONG}\n{OTHER}\n", [True, True, True]),
        (f"{OTHER}\n", [False, True, True]),
    ):
        file.write_text(content)
        ring.look(file)
        assert admitted() == expected


@pytest.mark.parametrize("content", [None, b"", b"# nothing\n", b"short", b"\xff\xfe\xff"])
def test_a_file_that_is_damaged_leaves_the_keys_as_they_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    file = tmp_path / "keys"
    file.write_text(LONG)
    ring = KeyRing(keys(file=file), file)
    file.unlink() if content is None else file.write_bytes(content)
    for _ in range(3):
        ring.look(file)
    assert ring.admit(Headers({"x-api-key": LONG}))
    assert not ring.admit(Headers({}))
    assert [record.getMessage() for record in caplog.records] == ["keys refused"]
    assert LONG not in caplog.text


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_may_ask_without_keys(host: str) -> None:
    check_exposure(host, keys(), insecure=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.com", "127.1"])
def test_others_may_not_unless_that_is_meant(host: str) -> None:
    with pytest.raises(KeyProblemError, match="RAYGENRE_API_KEYS"):
        check_exposure(host, keys(), insecure=False)
    check_exposure(host, keys(), insecure=True)
    check_exposure(host, keys(LONG), insecure=False)
