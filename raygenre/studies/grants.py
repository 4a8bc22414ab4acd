"""Distributes the places of one cluster or machine among the studies on it."""

from collections.abc import Sequence

from raygenre.studies.shares import Claim, Node, fair_shares, within_limits
from raygenre.studies.store import StudyStore
from raygenre.studies.study import Study


def share_out(store: StudyStore, scope: str, nodes: Sequence[Node]) -> list[Claim]:
    """Record how many places each study may use, and return the claims within the limits.

    Any process may call this at any time: the same studies and nodes always result in the same shares.

    Args:
        scope: the cluster or machine; see `raygenre.studies.table`.

    Raises:
        StudiesError: the database cannot be used.
    """
    present = [study for study in store.all() if study.scope == scope and not study.has_ended]
    claims = [_claim(study) for study in present]
    limits = store.limits()
    granted = fair_shares(claims, nodes, limits)
    store.grant({study.name: granted[study.name] for study in present if study.granted != granted[study.name]})
    return within_limits(claims, limits)


def _claim(study: Study) -> Claim:
    limit = study.places if study.max_concurrent is None else min(study.places, study.max_concurrent)
    places = 0 if study.state == "stopping" else limit
    return Claim(study.name, study.owner, study.priority, places, study.cpus, study.gpus)
