"""The overlays, which are rendered once per session and shared by the tests."""

from collections.abc import Sequence
from functools import cache

from k8s.check import rendering
from k8s.check.rendering import COMBINATIONS, Resource

_render = rendering.render


def rendered(overlay: str, components: Sequence[str] = (), search_components: Sequence[str] = ()) -> list[Resource]:
    """Return the objects from `rendering.render`; a test must copy these shared objects before changing them."""
    return list(_once(overlay, tuple(components), tuple(search_components)))


def whole(overlay: str) -> list[Resource]:
    """Return the objects of an overlay with all its components."""
    return rendered(overlay, *COMBINATIONS[overlay])


@cache
def _once(overlay: str, components: tuple[str, ...], search_components: tuple[str, ...]) -> list[Resource]:
    return _render(overlay, components, search_components)
