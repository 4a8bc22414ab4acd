"""`raygenre models`: which versions there are, and what is known of them."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from raygenre.cli.console import asking, fail, out

if TYPE_CHECKING:
    from raygenre.evaluation.version_facts import VersionFacts
    from raygenre.registry.versions import Version

_SHORT = 8  # characters of a digest


def models(
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON a version, with all that is known.")] = False,
    storage: Annotated[str | None, typer.Option(help="./results by default.")] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow server instead of the embedded SQLite.")] = None,
) -> None:
    """List the registered versions, the newest first, with what they scored on their own test tracks.

    Versions that were tested on other tracks are not compared by these numbers, but by `raygenre compare`.
    """
    from raygenre.registry import versions as registry
    from raygenre.system.storage import resolve

    try:
        where = resolve(storage, tracking_uri)
        with asking(where):
            versions = registry.list_versions(where)
    except (ValueError, OSError) as error:
        fail(str(error))
    if as_json:
        for version in versions:
            out.file.write(json.dumps(_record(version)) + "\n")
    elif versions:
        out.print(_table(versions))
    else:
        out.print(f"No version is registered in {where.server}; `make tune` trains one", highlight=False)


def _table(versions: "Sequence[Version]") -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for column in ("version", "alias", "test (95 % interval)", "genres", "data", "when"):
        table.add_column(column, no_wrap=True, justify="right" if column in ("version", "genres") else "left")
    table.add_column("study", overflow="fold")
    for version in versions:
        known = version.facts
        table.add_row(
            str(version.number),
            escape(", ".join(version.aliases)),
            _test(known),
            str(known.genres or "–") if known else "–",
            _data(known),
            f"{version.registered.astimezone():%Y-%m-%d}",
            escape(known.study) if known else "–",
        )
    return table


def _data(known: "VersionFacts | None") -> str:
    if known is None:
        return "–"
    digest = known.data_digest[:_SHORT]
    return f"{digest}\nsynthetic".strip() if known.synthetic else digest or "–"


def _test(known: "VersionFacts | None") -> str:
    if known is None:
        return "–"
    if not (interval := _interval(known)):
        return f"{known.test_accuracy:.1%}"
    return f"{known.test_accuracy:.1%} of {known.test_tracks} ({100 * interval[0]:.1f}–{100 * interval[1]:.1f})"


def _record(version: "Version") -> dict[str, object]:
    interval = _interval(version.facts)
    return {
        "version": version.number,
        "aliases": version.aliases,
        "registered": version.registered.isoformat(timespec="seconds"),
        "run_id": version.run_id,
        "interval": interval,
        **(asdict(version.facts) if version.facts else {}),
        "tags": dict(version.tags),
    }


def _interval(known: "VersionFacts | None") -> tuple[float, float] | None:
    from raygenre.evaluation.metrics import wilson_interval

    if known is None or not known.test_tracks:
        return None
    return wilson_interval(round(known.test_accuracy * known.test_tracks), known.test_tracks)
