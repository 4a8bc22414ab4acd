"""The result of one check of `raygenre doctor`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        check: name of the check.
        status: `problem` if something that raygenre needs does not work; `warning` if something is slow, missing or
            limited.
        found: one line for the user.
        remedy: what to do; empty if there is nothing to do.
        facts: the values on which the line is based, for programs. Sizes are in bytes.
    """

    check: str
    status: Status
    found: str
    remedy: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
