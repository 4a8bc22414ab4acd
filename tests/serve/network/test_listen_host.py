import pytest

from serve.network import listen_host


def test_haproxy_listens_on_all_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "1")
    assert listen_host.host() == "0.0.0.0"
