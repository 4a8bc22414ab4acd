"""Import librosa, the reference for samples and spectrograms, without numba.

Importing librosa makes numba compile functions that no test calls, which takes 16 s in each new environment. Numba's
decorators are therefore replaced by no-ops, which does not change librosa's computations with NumPy, SciPy and soxr.
"""

import sys
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any


def _no_op(*arguments: Any, **options: Any) -> Any:
    """Return the decorated function unchanged; usable as a decorator with or without options."""
    if len(arguments) == 1 and not options and callable(arguments[0]):
        return arguments[0]

    def unchanged(function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    return unchanged


@cache
def librosa() -> ModuleType:
    """Import and return librosa; the first call takes several seconds."""
    stand_in = ModuleType("numba")
    for decorator in ("jit", "stencil", "vectorize", "guvectorize"):
        setattr(stand_in, decorator, _no_op)
    numba = sys.modules.get("numba")
    sys.modules["numba"] = stand_in
    try:
        import librosa
        import librosa.core
        import librosa.display
        import librosa.feature

        # librosa imports its submodules on first access.
        librosa.load, librosa.amplitude_to_db, librosa.feature.melspectrogram, librosa.filters.mel  # noqa: B018
    finally:
        del sys.modules["numba"]
        if numba:
            sys.modules["numba"] = numba
    return librosa
