"""`raygenre render`: render songs as spectrogram images, exactly like those of the data set."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from raygenre.cli.checks import check_local, check_output
from raygenre.cli.console import (
    INTERRUPTED,
    bar,
    fail,
    out,
    print_failures,
    print_left_out,
    report_failures,
    write_file,
)
from raygenre.cli.options import ClusterOption, VerboseOption
from raygenre.cli.render_cluster import render_on_cluster
from raygenre.errors import RaygenreError, file_errors
from raygenre.system.printable import printable


def render(
    source_name: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            path_type=str,
            help="A song, or a folder of <class>/ folders with songs; with --address, a folder or a URL of them.",
        ),
    ],
    output_name: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            path_type=str,
            help="PNG to write, or the folder of the new data set; with --address, a folder or a URL.",
        ),
    ],
    jobs: Annotated[
        int,
        typer.Option(
            min=0,
            help="Worker processes for a folder; 0: one per core, or one for few songs. With --address, workers on the "
            "cluster; 0: one per CPU.",
        ),
    ] = 0,
    address: ClusterOption = "",
    verbose: VerboseOption = False,
) -> None:
    """Render songs as spectrogram images, exactly like those of the data set.

    If a song is longer than 31 s, only its middle 30 s are rendered. A folder of <class>/ folders becomes a data set in
    Kaggle's layout, which `--data` of experiments/tune.py accepts. Existing images that are newer than their songs
    are kept, so run the same command again to resume after Ctrl-C.
    """
    if address:
        render_on_cluster(source_name, output_name, address, jobs=jobs, verbose=verbose)
        return
    check_local([source_name, output_name])
    source, output = Path(source_name), Path(output_name)
    if not source.exists():
        fail(f"{printable(source)} does not exist")
    if source.is_dir():
        _render_folder(source, output, jobs, verbose=verbose)
    else:
        _render_song(source, output)


def _render_song(source: Path, output: Path) -> None:
    if output.suffix.lower() != ".png":
        fail(f"a song is rendered as a PNG: {printable(output)} must end in .png")
    check_output(output)

    from raygenre.spectrogram import song  # imported here because it loads torch

    try:
        with file_errors("the file cannot be read"):
            image = song.render(source)
    except RaygenreError as error:
        fail(f"{printable(source)}: {error}")
    write_file(output, image)
    out.print(f"Spectrogram of {printable(source)}: {printable(output)}", highlight=False, soft_wrap=True, markup=False)


def _render_folder(source: Path, output: Path, jobs: int, *, verbose: bool) -> None:
    if output.exists() and not output.is_dir():
        fail(f"{printable(output)} is a file; to render a folder, specify an output folder")

    from raygenre.data.folder_scan import scan_notes
    from raygenre.system.worker_pool import suitable_jobs
    from raygenre.workflows.render import plan_renders, render_all

    plan = plan_renders(source, output)
    targets = plan.targets
    print_left_out(scan_notes(plan.scan.clutter, plan.scan.others), plan.scan.others if verbose else [])
    failures = [(printable(song), "it is not in a <class>/ folder") for song in plan.classless]
    failures += [(printable(path), reason) for path, reason in plan.scan.unusable]
    before = len(failures)
    new = kept = 0
    try:
        with bar() as progress, closing(render_all(targets, jobs=jobs or suitable_jobs(len(targets)))) as results:
            for result in progress.track(results, total=len(targets), description="rendering"):
                new += result.is_new
                kept += not result.is_new and not result.error
                if result.error:
                    failures.append((printable(result.target.song), result.error))
    except KeyboardInterrupt:
        failed = len(failures) - before
        left = len(targets) - new - kept - failed
        failed_text = f"{failed} failed, " if failed else ""
        text = f"interrupted: {new} rendered, {failed_text}{left} left; run the same command again to resume"
        out.print(text, highlight=False, soft_wrap=True)
        print_failures(failures)
        raise typer.Exit(INTERRUPTED) from None
    counts = [f"{kept} already existed"] * bool(kept) + [f"{len(failures)} failed"] * bool(failures)
    summary = ", ".join([f"{new} rendered into {printable(output)}", *counts])
    out.print(summary, highlight=False, soft_wrap=True, markup=False)
    if plan.leftover:
        number = "1 image belongs" if len(plan.leftover) == 1 else f"{len(plan.leftover)} images belong"
        text = f"{number} to no song and can be deleted, such as {printable(plan.leftover[0])}"
        out.print(text, highlight=False, soft_wrap=True, markup=False)
    if not failures:
        out.print(f"Next: python experiments/tune.py --data {printable(output)}", soft_wrap=True)
    report_failures(failures)
