"""Measure the accuracies in docs/results.md, and write them to the table there.

Run, from the project's folder (an interrupted command resumes after the last saved epoch):
    python experiments/results.py --data PATH --lists PATH --list       # list the rows and whether each is measured
    python experiments/results.py --data PATH --lists PATH baseline     # one row; without names, all of them
    python experiments/results.py --study NAME                          # the row of a finished search
    python experiments/results.py --write                               # the table and the curves, from the results
"""

from pathlib import Path
from typing import Annotated

import typer

from raygenre.cli.console import exit_on_errors, fail, out
from raygenre.cli.options import StorageOption
from raygenre.search.study.ledger import Ledger
from raygenre.system.storage import resolve
from raygenre.system.worker_pool import cores
from raygenre.tracking.server import Server
from raygenre.workflows import results
from raygenre.workflows.result_curves import curves_png
from raygenre.workflows.result_rows import ROWS
from raygenre.workflows.search_result import search_result

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENT = ROOT / "docs" / "results.md"
CURVES = ROOT / "docs" / "learning-curves.png"


@exit_on_errors()
def main(
    names: Annotated[list[str] | None, typer.Argument(help="Rows to measure (default: all).")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the dataset's images.")] = None,
    lists: Annotated[Path | None, typer.Option(help="Folder with the lists of the filtered split.")] = None,
    jobs: Annotated[int, typer.Option(help="Training runs at a time, one core each (default: all cores).")] = 0,
    show: Annotated[bool, typer.Option("--list", help="List the rows, and which are measured.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the table in docs/results.md, and the curves.")] = False,
    study: Annotated[str | None, typer.Option(help="Store the result of this finished search.")] = None,
    storage: StorageOption = None,
) -> None:
    """Measure rows of the table of accuracies, each with several seeds."""
    if unknown := sorted(set(names or ()) - ROWS.keys()):
        fail(f"unknown row {unknown[0]}; expected some of {', '.join(ROWS)}")
    rows = [ROWS[name] for name in names or ROWS]
    if show:
        for row in rows:
            content = results.read(RESULTS, row)
            measured = len(content["seeds"]) if content else 0
            out.print(f"{row.name:<28} {measured} of {len(row.seeds)} seeds", highlight=False)
        return
    if write:
        DOCUMENT.write_text(results.with_table(DOCUMENT.read_text(), RESULTS))
        if curves := curves_png(RESULTS):
            CURVES.write_bytes(curves)
        return
    place = resolve(storage, None)
    if study:
        store_search(Ledger.open(place.studies, study, url=None), Server(place))
        return
    if not (data and lists):
        fail("pass the dataset with --data and the lists of the filtered split with --lists")
    files = results.Files(data, lists, place.root / "measurements", place.cache)
    command = f"python experiments/results.py --data PATH --lists PATH {' '.join(row.name for row in rows)}"
    for row, seed, result in results.measure(rows, files, RESULTS, command=command, jobs=jobs or cores()):
        share = result["hits"] / result["tracks"]
        out.print(f"{row.name}, seed {seed}: {share:.1%} of {result['tracks']} tracks", highlight=False)


def store_search(ledger: Ledger, server: Server) -> None:
    """Store the result of a search with `--split lists` as the row `search`."""
    row, config = ROWS["search"], ledger.config
    if config.split != "lists" or config.epochs != row.epochs:
        fail(f"study {ledger.name} must have been searched with --split lists and --epochs {row.epochs}")
    setting, result = search_result(server, ledger)
    budget = f" --time-budget {config.time_budget / 3600:g}h" if config.time_budget else ""
    command = (
        f"python experiments/tune.py --data PATH --split lists --split-lists PATH --trials {config.trials}{budget}"
    )
    results.write(RESULTS, row, row.seeds[0], result, setting=setting, command=command)
    out.print(f"search: {result['hits'] / result['tracks']:.1%} of {result['tracks']} tracks", highlight=False)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
