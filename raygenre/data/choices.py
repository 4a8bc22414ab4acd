"""Names of the ways in which tracks can be grouped. Imports no large libraries."""

from typing import Literal, get_args

GroupingName = Literal["auto", "artist", "album", "folder", "none"]

GROUPINGS: tuple[GroupingName, ...] = get_args(GroupingName)
