"""Names of the choices for grouping tracks. Imports no large libraries."""

from typing import Literal, get_args

GroupingName = Literal["auto", "artist", "album", "folder", "none"]

GROUPINGS: tuple[GroupingName, ...] = get_args(GroupingName)
