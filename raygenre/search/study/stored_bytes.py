"""Measure how many bytes a study takes up.

A study keeps the training states of its best and its unfinished trials (see
`raygenre.search.study.checkpoint_retention`), of the repeats and of the final training, its classifiers and, without a
database, its trials. The number of training states does not grow with the number of trials.
"""

from raygenre.system.location import Location


def stored_bytes(studies: Location, name: str) -> int:
    """Return how many bytes a study takes up in its folder or at its URL, not counting a database.

    Args:
        studies: the location of all studies.

    Raises:
        OSError: the store does not respond.
    """
    return (studies / name).total_bytes()
