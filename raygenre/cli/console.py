"""Where the commands print, and how they end on an error."""

from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

out, err = Console(), Console(stderr=True)


def fail(message: str) -> NoReturn:
    """Print what is wrong, and end with status 2."""
    err.print(f"[red]error:[/red] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(2)
