"""API keys: which keys are valid, and when the endpoint requires keys.

Only SHA-256 hashes of the keys are kept in memory. Several keys can be valid at the same time, and replicas reload the
key file regularly, so keys can be rotated without a restart. To rotate a key, add the new key to the file, switch the
clients to the new key, then remove the old key from the file.
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

MIN_KEY_LENGTH = 16  # characters


class ApiKeyError(RaygenreError, ValueError):
    """The API keys are unusable, or no keys are set although they are required.

    The message explains how to fix the problem.
    """


@dataclass(frozen=True)
class Keys:
    """Hashes of the valid keys; if there are none, the endpoint accepts every request.

    Attributes:
        from_settings: hashes of the keys in `RAYGENRE_API_KEYS`.
        from_file: hashes of the keys in the file `RAYGENRE_API_KEYS_FILE`.
    """

    from_settings: tuple[bytes, ...] = ()
    from_file: tuple[bytes, ...] = ()

    @property
    def hashes(self) -> tuple[bytes, ...]:
        return self.from_settings + self.from_file

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Hash the keys in the settings and in the key file.

        Raises:
            ApiKeyError: a key is too short, or the file is unreadable or has no keys.
        """
        keys = cls(_hash_all(settings.api_keys.get_secret_value().split(",")))
        return keys.reload(settings.api_keys_file) if settings.api_keys_file else keys

    def reload(self, file: Path) -> Self:
        """Return a copy of these keys in which `from_file` matches the current contents of the key file.

        Raises:
            ApiKeyError: a key is too short, or the file is unreadable or has no keys.
        """
        try:
            lines = file.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ApiKeyError(f"cannot read the API key file {file}: {reason}") from error
        from_file = _hash_all([line.partition("#")[0] for line in lines])
        if not from_file:
            raise ApiKeyError(f"the API key file {file} has no keys; add one per line")
        return replace(self, from_file=from_file)

    def accept(self, headers: Headers) -> bool:
        """Return True if a request has a valid key or if no key is required.

        A request sends its key as `Authorization: Bearer KEY` or `X-API-Key: KEY`. This method compares the
        key with all valid keys, each in constant time, so that timing reveals nothing about the keys.
        """
        if not self.hashes:
            return True
        scheme, _, token = headers.get("authorization", "").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        key_hash = _hash(key)
        return sum(hmac.compare_digest(key_hash, valid_hash) for valid_hash in self.hashes) > 0


class KeyRing:
    """A replica's current keys, which are reloaded from the key file.

    Args:
        file: the key file, or None if no key file is set.
    """

    def __init__(self, keys: Keys, file: Path | None) -> None:
        self._keys = keys
        self._file = file
        self._last_error = ""

    def accept(self, headers: Headers) -> bool:
        """Return whether a request has a valid key; see `Keys.accept`."""
        return self._keys.accept(headers)

    def watch(self, seconds: float) -> None:
        """Start a thread that reloads the file every `seconds` seconds (±25 % jitter)."""
        if self._file:
            threading.Thread(target=self._watch, args=(self._file, seconds), name="keys", daemon=True).start()

    def reload(self, file: Path) -> None:
        """Reload the key file; if it is unusable, the previous keys stay valid."""
        try:
            keys = self._keys.reload(file)
        except ApiKeyError as error:
            if self._last_error != str(error):
                logs.warning("API keys rejected", reason=str(error))
            self._last_error = str(error)
            return
        self._last_error = ""
        if keys != self._keys:
            logs.info("API keys reloaded", keys=len(keys.hashes), before=len(self._keys.hashes))
            self._keys = keys

    def _watch(self, file: Path, seconds: float) -> None:
        while True:
            time.sleep(seconds * random.uniform(0.75, 1.25))
            self.reload(file)


def check_exposure(host: str, keys: Keys, *, insecure: bool) -> None:
    """Check that the endpoint requires API keys if other machines can reach it.

    Args:
        host: address that the endpoint listens on. If it is empty, the address is unknown, and the function assumes
            that other machines can reach the endpoint.

    Raises:
        ApiKeyError: other machines can use the endpoint without a key, and `insecure` is not set.
    """
    if not keys.hashes and not insecure and not _is_loopback(host):
        raise ApiKeyError(
            f"other machines can reach the endpoint on {host or 'an unknown address'}, but it requires no API keys; "
            "set RAYGENRE_API_KEYS or RAYGENRE_API_KEYS_FILE, or RAYGENRE_INSECURE=1 to allow anyone to use it"
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _hash_all(keys: list[str]) -> tuple[bytes, ...]:
    stripped = [key.strip() for key in keys if key.strip()]
    if any(len(key) < MIN_KEY_LENGTH for key in stripped):
        detail = f"an API key has fewer than {MIN_KEY_LENGTH} characters; create one with `openssl rand -hex 32`"
        raise ApiKeyError(detail)
    return tuple(dict.fromkeys(_hash(key) for key in stripped))


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
