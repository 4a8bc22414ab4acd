"""The part of `raygenre render` that renders on a Ray cluster, from and to folders or URLs."""

from contextlib import closing
from pathlib import Path

import typer

from raygenre.cli.console import INTERRUPTED, bar, fail, out, print_failures, print_left_out, report_failures
from raygenre.cli.predict_cluster import shared_places
from raygenre.system.location import Location, is_url
from raygenre.system.printable import printable


def render_on_cluster(source: str, output: str, address: str, *, jobs: int, verbose: bool) -> None:
    """Render the class folders at a path or URL on a cluster, keeping images that already exist.

    Args:
        address: the cluster's address, or `local` for a private cluster on this machine.

    Raises:
        RaygenreError: the source, the cluster or the output is unusable.
        typer.Exit: with status 1 if a song failed, and with status 130 after Ctrl-C.
    """
    if not is_url(source) and not Path(source).is_dir():
        fail(f"{printable(source)} is not a folder; render a single song without --address")
    if not is_url(output) and Path(output).exists() and not Path(output).is_dir():
        fail(f"{printable(output)} is a file; to render a folder, specify an output folder")

    from raygenre.batch.nodes import check_nodes, connect
    from raygenre.batch.render import plan_batch, render_all
    from raygenre.data.folder_scan import scan_notes

    target = Location(output if is_url(output) else str(Path(output).absolute()))
    plan = plan_batch(source, target)
    print_left_out(scan_notes(plan.clutter, plan.left_out), plan.left_out if verbose else [])
    failures = [(song, "it is not in a <class>/ folder") for song in plan.classless] + list(plan.unusable)
    before, total = len(failures), plan.table.num_rows
    new, kept = 0, plan.kept
    if total:
        out.print(f"ray: {connect(address)}", soft_wrap=True)
        check_nodes(shared_places([source]), target)
        try:
            with bar() as progress, closing(render_all(plan, target, jobs=jobs)) as outcomes:
                for outcome in progress.track(outcomes, total=total, description="rendering"):
                    new += outcome.is_new
                    kept += not outcome.is_new and not outcome.error
                    if outcome.error:
                        failures.append((printable(outcome.song), outcome.error))
        except KeyboardInterrupt:
            left = total - new - (kept - plan.kept) - (len(failures) - before)
            text = f"interrupted: {new} rendered, {left} left; run the same command again to resume"
            out.print(text, soft_wrap=True)
            print_failures(failures)
            raise typer.Exit(INTERRUPTED) from None
    counts = [f"{kept} already existed"] * bool(kept) + [f"{len(failures)} failed"] * bool(failures)
    out.print(", ".join([f"{new} rendered into {printable(output)}", *counts]), soft_wrap=True)
    report_failures(failures)
