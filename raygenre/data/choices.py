"""Names of the choices for splitting data. Imports no large library."""

from typing import Literal, get_args

GroupingName = Literal["auto", "artist", "album", "folder", "none"]

GROUPINGS: tuple[GroupingName, ...] = get_args(GroupingName)
