"""Assign a class to each class folder; names that differ only in Unicode form share a class.

Some file systems store `é` as one character (NFC), others as `e` and an accent (NFD), so copying a collection between
them can result in two folders whose names look the same. Such folders are one class. `rock` and `Rock` are two classes
unless the user merges them, because names that differ in case may differ in meaning, for example if one is an
abbreviation.
"""

import unicodedata
from collections import Counter
from collections.abc import Mapping

from raygenre.system.printable import exact, printable


def class_labels(files: Mapping[str, int], *, merge_case: bool) -> tuple[dict[str, str], list[str]]:
    """Return the label of each class folder, and a note for the user about each group of similar names.

    A label is the folder's name in NFC. If names that differ only in case are merged, the label is the spelling with
    the most files.

    Args:
        files: name of each class folder → number of files in it.
        merge_case: whether names that differ only in case are one class.
    """
    notes = []
    labels = {name: exact(unicodedata.normalize("NFC", name)) for name in files}
    for label, names in _groups(labels).items():
        if len(names) > 1:
            name = printable(label)
            same = f"{len(names)} class folders are called {name} in different Unicode forms"
            notes.append(f"{same}; they are treated as one class")
    totals = Counter[str]()
    for name, count in files.items():
        totals[labels[name]] += count
    for spellings in _groups({label: _folded(label) for label in totals}).values():
        if len(spellings) < 2:
            continue
        if merge_case:
            chosen = max(sorted(spellings), key=lambda label: totals[label])
            labels |= {name: chosen for name, label in labels.items() if label in spellings}
            notes.append(f"{_listed(spellings)} are treated as one class, {printable(chosen)}")
        else:
            notes.append(
                f"{_listed(spellings)} differ only in case and are different classes; "
                "merge them with raygenre tune --merge-case"
            )
    return labels, notes


def _groups(key_of: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the sorted names for each key."""
    groups: dict[str, list[str]] = {}
    for name in sorted(key_of):
        groups.setdefault(key_of[name], []).append(name)
    return groups


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())


def _listed(names: list[str]) -> str:
    shown = [printable(name) for name in names]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
