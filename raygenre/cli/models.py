"""`raygenre models`: list the registered versions."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from raygenre.cli.console import mlflow_errors, out
from raygenre.cli.options import StorageOption, TrackingUriOption

if TYPE_CHECKING:
    from raygenre.evaluation.version_facts import VersionFacts
    from raygenre.registry.versions import Version

_SHORT_DIGEST = 8  # characters


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per version, with all tags.")] = False,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """List the registered versions, newest first, with their accuracy on their own test tracks.

    Do not compare these numbers between versions that were tested on different tracks; use `raygenre compare` instead.
    """
    from raygenre.registry.versions import list_versions
    from raygenre.system.storage import resolve
    from raygenre.tracking.server import Server

    storage = resolve(storage_folder, tracking_uri)
    with mlflow_errors(storage):
        versions = list_versions(Server(storage))
    if as_json:
        for version in versions:
            out.file.write(json.dumps(_record(version)) + "\n")
    elif versions:
        out.print(_table(versions))
    else:
        out.print(f"No version is registered in {storage.server}; train one with `make tune`", highlight=False)


def _table(versions: "Sequence[Version]") -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for column in ("version", "alias", "test (95 % interval)", "genres", "data", "registered"):
        table.add_column(column, no_wrap=True, justify="right" if column in ("version", "genres") else "left")
    table.add_column("study", overflow="fold")
    for version in versions:
        facts = version.facts
        table.add_row(
            str(version.number),
            ", ".join(version.aliases),
            _accuracy(facts),
            str(facts.genres or "–") if facts else "–",
            _data(facts),
            f"{version.registered.astimezone():%Y-%m-%d}",
            facts.study if facts else "–",
        )
    return table


def _data(facts: "VersionFacts | None") -> str:
    if facts is None:
        return "–"
    digest = facts.data_digest[:_SHORT_DIGEST]
    return f"{digest}\nsynthetic".strip() if facts.synthetic else digest or "–"


def _accuracy(facts: "VersionFacts | None") -> str:
    if facts is None:
        return "–"
    if not (interval := _interval(facts)):
        return f"{facts.test_accuracy:.1%}"
    text = f"{facts.test_accuracy:.1%} of {facts.test_tracks} ({100 * interval[0]:.1f}–{100 * interval[1]:.1f})"
    return f"{text}\nno better than chance" if facts.failed_chance_test else text


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


def _interval(facts: "VersionFacts | None") -> tuple[float, float] | None:
    from raygenre.evaluation.interval import wilson_interval

    if facts is None or not facts.test_tracks:
        return None
    return wilson_interval(round(facts.test_accuracy * facts.test_tracks), facts.test_tracks)
