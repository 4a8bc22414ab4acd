"""API keys: who may ask, and whether the endpoint may listen where it does.

Only the keys' SHA-256 is kept. Several keys may be valid at a time, so that one can be exchanged for another without
a gap: add the new one, move the clients, take the old one away.
"""

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from typing import Self

from starlette.datastructures import Headers

from serve.settings import Settings

SHORTEST = 16  # characters


class KeyProblemError(ValueError):
    """The settings leave the endpoint open, or name keys that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Keys:
    """The hashes of the keys that are valid; none means that everybody may ask."""

    hashes: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Hash the keys in the settings and in the file that they name.

        Raises:
            KeyProblemError: a key is too short, or the file cannot be read or has none.
        """
        keys = settings.api_keys.get_secret_value().split(",")
        if settings.api_keys_file:
            try:
                lines = settings.api_keys_file.read_text().splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise KeyProblemError(f"the API keys cannot be read: {error}") from error
            found = [line.partition("#")[0] for line in lines]
            if not any(key.strip() for key in found):
                raise KeyProblemError(f"{settings.api_keys_file} has no API key")
            keys += found
        stripped = [key.strip() for key in keys if key.strip()]
        if any(len(key) < SHORTEST for key in stripped):
            raise KeyProblemError(f"an API key has fewer than {SHORTEST} characters; `openssl rand -hex 32` makes one")
        return cls(tuple(dict.fromkeys(_hash(key) for key in stripped)))

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


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
