import pytest

from serve.network import listen_host, proxy_environment


def test_haproxy_that_we_do_not_start_listens_on_all_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "1")
    monkeypatch.setenv("RAY_SERVE_HAPROXY_BINARY_PATH", "/usr/sbin/haproxy")
    assert listen_host.host() == "0.0.0.0"
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "0")
    assert listen_host.host() != "0.0.0.0"


def test_our_own_start_of_haproxy_keeps_to_the_host() -> None:
    assert not proxy_environment.opens_all_addresses(proxy_environment.DEFAULTS | proxy_environment.MACHINE)
    without = proxy_environment.DEFAULTS | {"RAY_SERVE_HAPROXY_BINARY_PATH": ""}
    assert proxy_environment.opens_all_addresses(without)
