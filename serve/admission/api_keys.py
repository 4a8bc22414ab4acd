"""API keys: who may ask, and whether the endpoint may listen where it does.

Only the keys' SHA-256 is kept. Several keys may be valid at a time, and replicas read their file again and again, so
that one can be exchanged for another without a gap or a restart: add the new one to the file, move the clients, take
the old one away.
"""

import hashlib
import hmac
import ipaddress
import random
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from starlette.datastructures import Headers

from raygenre.errors import RaygenreError
from serve.monitoring import logs
from serve.settings import Settings

SHORTEST = 16  # characters


class KeyProblemError(RaygenreError, ValueError):
    """The settings leave the endpoint open, or name keys that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Keys:
    """The hashes of the keys that are valid, from the settings and from the file; none means that everybody may ask."""

    given: tuple[bytes, ...] = ()
    filed: tuple[bytes, ...] = ()

    @property
    def hashes(self) -> tuple[bytes, ...]:
        return self.given + self.filed

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Hash the keys in the settings and in the file that they name.

        Raises:
            KeyProblemError: a key is too short, or the file cannot be read or has none.
        """
        given = cls(_hashed(settings.api_keys.get_secret_value().split(",")))
        return given.reread(settings.api_keys_file) if settings.api_keys_file else given

    def reread(self, file: Path) -> Self:
        """Return these keys with those that the file has now.

        Raises:
            KeyProblemError: a key is too short, or the file cannot be read or has none.
        """
        try:
            lines = file.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise KeyProblemError(f"the API keys cannot be read: {error}") from error
        filed = _hashed([line.partition("#")[0] for line in lines])
        if not filed:
            raise KeyProblemError(f"{file} has no API key")
        return replace(self, filed=filed)

    def admit(self, headers: Headers) -> bool:
        """Whether a request may be answered: by `Authorization: Bearer KEY` or `X-API-Key: KEY`, or as none is needed.

        All keys are compared, each in constant time, so that the time tells nothing.
        """
        if not self.hashes:
            return True
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        offered = _hash(given)
        return sum(hmac.compare_digest(offered, known) for known in self.hashes) > 0


class KeyRing:
    """The keys of a replica, which follow their file.

    Args:
        file: that the keys come from, if any do.
    """

    def __init__(self, keys: Keys, file: Path | None) -> None:
        self._keys = keys
        self._file = file
        self._trouble = ""

    def admit(self, headers: Headers) -> bool:
        """Whether a request may be answered, as `Keys.admit` says."""
        return self._keys.admit(headers)

    def watch(self, seconds: float) -> None:
        """Begin to read the file every so many seconds, within a quarter more or less."""
        if self._file:
            threading.Thread(target=self._watch, args=(self._file, seconds), name="keys", daemon=True).start()

    def look(self, file: Path) -> None:
        """Take the keys that the file has now; if it has none that can be used, those known before stay valid."""
        try:
            found = self._keys.reread(file)
        except KeyProblemError as error:
            if self._trouble != str(error):
                logs.warning("keys refused", reason=str(error))
            self._trouble = str(error)
            return
        self._trouble = ""
        if found != self._keys:
            logs.info("keys taken", keys=len(found.hashes), before=len(self._keys.hashes))
            self._keys = found

    def _watch(self, file: Path, seconds: float) -> None:
        while True:
            time.sleep(seconds * random.uniform(0.75, 1.25))
            self.look(file)


def check_exposure(host: str, keys: Keys, *, insecure: bool) -> None:
    """See that an endpoint which others can reach asks for keys.

    Args:
        host: that the endpoint listens on; empty if it is not known, which counts as everywhere.

    Raises:
        KeyProblemError: it does not, and nobody said that this is meant.
    """
    if not keys.hashes and not insecure and not _is_loopback(host):
        raise KeyProblemError(
            f"the endpoint listens on {host or 'an unknown address'}, where others can reach it, without API keys; set "
            "RAYGENRE_API_KEYS or RAYGENRE_API_KEYS_FILE, or RAYGENRE_INSECURE=1 if everybody may use it"
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _hashed(keys: list[str]) -> tuple[bytes, ...]:
    stripped = [key.strip() for key in keys if key.strip()]
    if any(len(key) < SHORTEST for key in stripped):
        raise KeyProblemError(f"an API key has fewer than {SHORTEST} characters; `openssl rand -hex 32` makes one")
    return tuple(dict.fromkeys(_hash(key) for key in stripped))


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
