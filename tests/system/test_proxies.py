"""Loopback addresses in NO_PROXY, and the variable that sets a proxy."""

import os

import pytest

from raygenre.system.proxies import exempt_loopback, request_note

LOOPBACK = "localhost,127.0.0.0/8,127.0.0.1,::1"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        for spelling in (name, name.upper()):
            monkeypatch.setenv(spelling, "")  # so that monkeypatch restores what the code under test changes
            monkeypatch.delenv(spelling)


@pytest.mark.parametrize(
    ("low", "high", "expected_low", "expected_high"),
    [
        (None, None, LOOPBACK, LOOPBACK),
        (None, "a, .b", f"a,.b,{LOOPBACK}", f"a,.b,{LOOPBACK}"),
        ("", "a", f"a,{LOOPBACK}", f"a,{LOOPBACK}"),
        ("a", "b", f"a,{LOOPBACK}", f"b,{LOOPBACK}"),
        ("::1,localhost", None, "::1,localhost,127.0.0.0/8,127.0.0.1", "::1,localhost,127.0.0.0/8,127.0.0.1"),
        ("*", None, "*", None),
    ],
)
def test_user_entries_are_kept(
    low: str | None,
    high: str | None,
    expected_low: str,
    expected_high: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("no_proxy", low), ("NO_PROXY", high)):
        if value is not None:
            monkeypatch.setenv(name, value)
    for _ in range(2):  # a child process inherits the variables and adds nothing to them
        exempt_loopback()
        assert os.environ.get("no_proxy") == expected_low
        assert os.environ.get("NO_PROXY") == expected_high


def test_variable_of_the_proxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert request_note("http://a.example:5000") == ""
    monkeypatch.setenv("ALL_PROXY", "http://proxy:1")
    assert "in ALL_PROXY (http://proxy:1)" in request_note("https://a.example")
    monkeypatch.setenv("https_proxy", "http://proxy:2")
    assert "in https_proxy (http://proxy:2)" in request_note("https://a.example")
    assert "in ALL_PROXY (http://proxy:1)" in request_note("http://a.example")
    monkeypatch.setenv("NO_PROXY", ".example")
    assert request_note("https://a.example") == ""
