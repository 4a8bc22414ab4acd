"""Fair shares exceed no limit, waste nothing, obey priorities, and treat equal studies equally."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raygenre.studies.shares import Claim, Node, fair_shares, within_limits

CPU = {"cpus": 1.0, "gpus": 0.0}

nodes = st.lists(st.builds(Node, cpus=st.integers(0, 8).map(float), gpus=st.integers(0, 2).map(float)), max_size=4)
claims = st.lists(
    st.builds(
        Claim,
        name=st.just(""),
        owner=st.sampled_from(["ann", "bob", "cleo"]),
        priority=st.integers(0, 2),
        places=st.integers(0, 12),
        cpus=st.sampled_from([0.5, 1.0, 2.0]),
        gpus=st.sampled_from([0.0, 0.25, 1.0]),
    ),
    max_size=6,
).map(lambda claims: [replace(claim, name=f"study {number}") for number, claim in enumerate(claims)])
limits = st.dictionaries(st.sampled_from(["", "ann", "bob"]), st.integers(0, 6))


def claim(name: str, places: int, *, owner: str = "ann", priority: int = 0, cpus: float = 1, gpus: float = 0) -> Claim:
    return Claim(name, owner, priority, places, cpus, gpus)


@pytest.mark.parametrize(
    ("claims", "cpus", "expected"),
    [
        ([claim("a", 9), claim("b", 9)], 4, {"a": 2, "b": 2}),
        ([claim("a", 9), claim("b", 9)], 3, {"a": 2, "b": 1}),
        ([claim("a", 1), claim("b", 9)], 4, {"a": 1, "b": 3}),
        ([claim("a", 9), claim("b", 2, priority=1)], 3, {"a": 1, "b": 2}),
        ([claim("a", 9), claim("b", 0, priority=1)], 3, {"a": 3, "b": 0}),
        ([claim("a", 9, cpus=2), claim("b", 9)], 6, {"a": 2, "b": 2}),
        ([claim("a", 9), claim("b", 9), claim("c", 9)], 2, {"a": 1, "b": 1, "c": 0}),
    ],
)
def test_places_are_shared_by_priority_and_then_equally(
    claims: list[Claim], cpus: float, expected: dict[str, int]
) -> None:
    assert fair_shares(claims, [Node(cpus, 0)], {}) == expected


def test_a_limit_holds_for_all_studies_of_a_person() -> None:
    claims = [claim("a", 9), claim("b", 9), claim("c", 9, owner="bob")]
    assert fair_shares(claims, [Node(8, 0)], {"ann": 3}) == {"a": 2, "b": 1, "c": 5}
    assert fair_shares(claims, [Node(8, 0)], {"": 2, "bob": 4}) == {"a": 1, "b": 1, "c": 4}


def test_a_place_needs_a_node_that_is_large_enough() -> None:
    assert fair_shares([claim("a", 9, cpus=2)], [Node(3, 0), Node(1, 0)], {}) == {"a": 1}
    mixed = [claim("a", 9, gpus=1), claim("b", 9)]
    assert fair_shares(mixed, [Node(2, 2), Node(4, 0)], {}) == {"a": 2, "b": 4}


def test_small_fractions_of_a_gpu_add_up() -> None:
    assert fair_shares([claim("a", 99, cpus=0, gpus=0.1)], [Node(1, 1)], {}) == {"a": 10}


def test_no_nodes_are_requested_beyond_a_limit() -> None:
    claims = [claim("a", 100), claim("b", 100, gpus=1), claim("c", 9, owner="bob"), claim("d", 1, priority=1)]
    usable = {claim.name: claim.places for claim in within_limits(claims, {"ann": 3})}
    assert usable == {"a": 1, "b": 1, "c": 9, "d": 1}
    assert within_limits(claims, {}) == claims


@given(claims, nodes, limits)
def test_shares_fit_and_nothing_is_wasted(claims: list[Claim], nodes: list[Node], limits: dict[str, int]) -> None:
    granted = fair_shares(claims, nodes, limits)
    owned: Counter[str] = Counter()
    for one in claims:
        assert 0 <= granted[one.name] <= one.places
        owned[one.owner] += granted[one.name]
    for owner, places in owned.items():
        assert places <= limits.get(owner, limits.get("", places))
    for kind in ("cpus", "gpus"):
        used = sum(granted[one.name] * getattr(one, kind) for one in claims)
        assert used <= sum(getattr(node, kind) for node in nodes) + 1e-6
    if len(nodes) == 1:
        free = [getattr(nodes[0], kind) - sum(granted[one.name] * getattr(one, kind) for one in claims) for kind in CPU]
        for one in claims:
            is_content = granted[one.name] == one.places
            is_limited = owned[one.owner] >= limits.get(one.owner, limits.get("", 99))
            assert is_content or is_limited or one.cpus > free[0] or one.gpus > free[1]


@given(claims, nodes)
def test_equal_studies_differ_by_one_place(claims: list[Claim], nodes: list[Node]) -> None:
    equal = [replace(one, priority=0, cpus=1.0, gpus=0.0) for one in claims]
    granted = fair_shares(equal, nodes, {})
    for one in equal:
        for other in equal:
            assert granted[one.name] == one.places or granted[one.name] >= granted[other.name] - 1


@given(claims, nodes, limits)
def test_lower_priorities_take_nothing(claims: list[Claim], nodes: list[Node], limits: dict[str, int]) -> None:
    granted = fair_shares(claims, nodes, limits)
    top = [one for one in claims if one.priority == max(one.priority for one in claims)]
    assert {one.name: granted[one.name] for one in top} == fair_shares(top, nodes, limits)
