"""Measures how much space a study takes up.

A study keeps the training states of its best trials, its unfinished trials (see
`raygenre.search.study.checkpoint_retention`), the repeats and the final training. It also keeps its classifiers and,
unless they are in a database, its trials. The number of training states does not grow with the number of trials.
"""

from raygenre.system.location import Location


def stored_bytes(studies: Location, name: str) -> int:
    """Return the space, in bytes, that a study takes up in its folder or at its URL, not counting a database.

    Args:
        studies: the location that contains all studies.

    Raises:
        OSError: the store does not respond.
    """
    return (studies / name).total_bytes()
