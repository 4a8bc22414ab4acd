"""Draw stratified subsets of a dataset from groups of tracks that must stay together."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from raygenre.data.dataset import Dataset
from raygenre.data.duplicates import Group


def draw_quota(
    groups: Sequence[Group], dataset: Dataset, quota: Mapping[int, int], random: np.random.Generator
) -> set[Group]:
    """Draw groups until each genre has its quota of tracks. Groups that would exceed a quota are skipped."""
    open_places = dict(quota)
    drawn: set[Group] = set()
    for number in random.permutation(len(groups)):
        needed = Counter(int(dataset.labels[i]) for i in groups[number])
        if all(open_places[label] >= n for label, n in needed.items()):
            drawn.add(groups[number])
            for label, n in needed.items():
                open_places[label] -= n
    return drawn


def divide_evenly(
    groups: Sequence[Group], dataset: Dataset, parts: int, random: np.random.Generator
) -> list[set[Group]]:
    """Distribute small groups among parts with the same number of tracks per genre, plus or minus one."""
    counts = Counter(int(dataset.labels[i]) for group in groups for i in group)
    divided: list[set[Group]] = []
    remaining = list(groups)
    for part in range(parts - 1):
        quota = {label: n * (part + 1) // parts - n * part // parts for label, n in counts.items()}
        divided.append(draw_quota(remaining, dataset, quota, random))
        remaining = [group for group in remaining if group not in divided[-1]]
    return [*divided, set(remaining)]


def divide_large_groups(
    groups: Sequence[Group], dataset: Dataset, parts: int, random: np.random.Generator
) -> list[set[Group]]:
    """Distribute groups of any size among parts with about the same share of each genre, using scikit-learn.

    If a genre has fewer groups than `parts`, the number of parts is reduced to the number of these groups, but not
    below two. If any part contains every genre, such a part comes first.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # slow to import, and most splits do not need it

    tracks = np.array([i for group in groups for i in group])
    number = np.array([number for number, group in enumerate(groups) for _ in group])
    labels = dataset.labels[tracks]
    groups_of = Counter(label for group in groups for label in {int(dataset.labels[i]) for i in group})
    count = max(2, min(parts, *groups_of.values()))
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=int(random.integers(2**32)))
    divided = [{groups[n] for n in number[chosen]} for _, chosen in splitter.split(tracks, labels, number)]

    def lacks_genre(part: set[Group]) -> bool:
        return len({int(dataset.labels[i]) for group in part for i in group}) < len(groups_of)

    return sorted(divided, key=lacks_genre)
