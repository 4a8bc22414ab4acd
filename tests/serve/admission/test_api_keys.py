from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.datastructures import Headers

from serve.admission.api_keys import ApiKeyError, KeyRing, Keys, check_exposure
from serve.settings import Settings

LONG, OTHER = "a" * 32, "b" * 32


def keys(text: str = "", file: Path | None = None) -> Keys:
    return Keys.of(Settings(api_keys=SecretStr(text), api_keys_file=file))


def test_without_keys_every_request_is_accepted() -> None:
    assert keys().accept(Headers({}))


def test_keys_from_settings_and_file_are_valid_together(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"# two teams\n\n{OTHER}  # the second\n")
    both = keys(f" {LONG} ,", tmp_path / "keys")
    assert [both.accept(Headers({"x-api-key": key})) for key in (LONG, OTHER, LONG[:-1], "")] == [
        True,
        True,
        False,
        False,
    ]


def test_only_hashes_of_keys_are_kept() -> None:
    assert LONG not in repr(keys(LONG))
    assert LONG.encode() not in b"".join(keys(LONG).hashes)
    assert LONG not in repr(Settings(api_keys=SecretStr(LONG)))


def test_malformed_headers_are_no_key() -> None:
    for value in ("Bearer", "Bearer \xff\xfe", "Bearer" + " " * 50, "x" * 10_000):
        assert not keys(LONG).accept(Headers({"authorization": value}))


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ApiKeyError, match="fewer than 16"):
        keys("short")


@pytest.mark.parametrize("content", [None, b"", b"# nothing\n", b"\xff\xfe\xff"])
def test_a_key_file_without_keys_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "keys").write_bytes(content)
    with pytest.raises(ApiKeyError):
        keys(LONG, tmp_path / "keys")


def test_keys_are_rotated_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(LONG)
    ring = KeyRing(keys("c" * 32, file), file)

    def accepted() -> list[bool]:
        return [ring.accept(Headers({"x-api-key": key})) for key in (LONG, OTHER, "c" * 32)]

    for content, expected in (
        (f"{LONG}\n{OTHER}\n", [True, True, True]),
        (f"{OTHER}\n", [False, True, True]),
    ):
        file.write_text(content)
        ring.reload(file)
        assert accepted() == expected


@pytest.mark.parametrize("content", [None, b"", b"# nothing\n", b"short", b"\xff\xfe\xff"])
def test_a_damaged_key_file_leaves_the_keys_valid(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    file = tmp_path / "keys"
    file.write_text(LONG)
    ring = KeyRing(keys(file=file), file)
    file.unlink() if content is None else file.write_bytes(content)
    for _ in range(3):
        ring.reload(file)
    assert ring.accept(Headers({"x-api-key": LONG}))
    assert not ring.accept(Headers({}))
    assert [record.getMessage() for record in caplog.records] == ["API keys rejected"]
    assert LONG not in caplog.text


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_the_same_machine_needs_no_keys(host: str) -> None:
    check_exposure(host, keys(), insecure=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.com", "127.1"])
def test_other_machines_need_keys_or_the_insecure_setting(host: str) -> None:
    with pytest.raises(ApiKeyError, match="RAYGENRE_API_KEYS"):
        check_exposure(host, keys(), insecure=False)
    check_exposure(host, keys(), insecure=True)
    check_exposure(host, keys(LONG), insecure=False)
