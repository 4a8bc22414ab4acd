"""librosa, which tests hold samples and spectrograms against, imported without numba.

Importing librosa has numba compile functions that no test calls: 16 s in each new environment. Plain Python stands in
for numba's decorators here, and what librosa computes with NumPy, SciPy and soxr is the same.
"""

import sys
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any


def _leave(*arguments: Any, **named: Any) -> Any:
    """A decorator, with or without options of its own, that changes nothing."""
    if len(arguments) == 1 and not named and callable(arguments[0]):
        return arguments[0]

    def unchanged(function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    return unchanged


@cache
def librosa() -> ModuleType:
    """The library, imported by the first call: with all that it imports it takes seconds."""
    stand_in = ModuleType("numba")
    for decorator in ("jit", "stencil", "vectorize", "guvectorize"):
        setattr(stand_in, decorator, _leave)
    with_numba = sys.modules.get("numba")
    sys.modules["numba"] = stand_in
    try:
        import librosa
        import librosa.core
        import librosa.display
        import librosa.feature

        # Its submodules are imported when they are first asked for.
        librosa.load, librosa.amplitude_to_db, librosa.feature.melspectrogram, librosa.filters.mel  # noqa: B018
    finally:
        del sys.modules["numba"]
        if with_numba:
            sys.modules["numba"] = with_numba
    return librosa
