import os

import pytest

from serve import proxies


def test_what_was_set_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    first = next(iter(proxies.DEFAULTS))
    monkeypatch.setattr(os, "environ", {first: "7", "HOME": "/"})
    proxies.set_defaults()
    assert os.environ == {"HOME": "/"} | proxies.DEFAULTS | {first: "7"}
