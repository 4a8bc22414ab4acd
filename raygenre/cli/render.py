"""`raygenre render`: draw songs as the dataset drew its own."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from raygenre.cli.console import INTERRUPTED, bar, fail, name_failures, out


def render(
    source: Annotated[
        Path, typer.Argument(help="A song (of one longer than 31 s the middle 30 s are drawn), or a folder tree.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The PNG to write; for a tree the folder of the data set.")
    ],
    jobs: Annotated[int, typer.Option(min=0, help="Processes for a tree; 0: one a core, or one for few songs.")] = 0,
) -> None:
    """Draw spectrograms exactly as the dataset drew its own.

    Of a folder with <class>/ folders it makes a data set in the Kaggle layout, for `--data` of experiments/tune.py.
    Pictures that are there already and not older than their songs are kept, so after Ctrl-C say the same again.
    """
    if not source.exists():
        fail(f"{source} is not there")
    if source.is_dir():
        _tree(source, output, jobs)
    else:
        _song(source, output)


def _song(source: Path, output: Path) -> None:
    from raygenre.spectrogram import song
    from raygenre.system.atomic_write import write_atomically

    if output.suffix.lower() != ".png":
        fail(f"{output} is to be the picture of one song; give it the suffix .png")
    try:
        picture = song.render(source)
    except (ValueError, OSError) as error:
        fail(f"{source}: {error}")
    try:
        write_atomically(output, picture)
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}")
    out.print(f"{output}: {source} as the dataset would have drawn it", highlight=False, soft_wrap=True, markup=False)


def _tree(source: Path, output: Path, jobs: int) -> None:
    from raygenre.system import worker_pool
    from raygenre.workflows import render as rendering

    if output.exists() and not output.is_dir():
        fail(f"{output} is a file; a tree is drawn into a folder")
    try:
        drawings, classless = rendering.plan(source, output)
    except ValueError as error:
        fail(str(error))
    failures = [(str(song), "it lies in no <class>/ folder") for song in classless]
    new = kept = 0
    try:
        with (
            bar() as progress,
            closing(rendering.draw(drawings, jobs=jobs or worker_pool.suitable_jobs(len(drawings)))) as done,
        ):
            for drawn in progress.track(done, total=len(drawings), description="drawing"):
                new += drawn.new
                kept += not drawn.new and not drawn.problem
                if drawn.problem:
                    failures.append((str(drawn.drawing.song), drawn.problem))
    except KeyboardInterrupt:
        left = len(drawings) - new - kept
        out.print(f"{new} drawn, {left} left; say the same again to go on", highlight=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    there = f", {kept} were there already" if kept else ""
    out.print(f"{new} drawn into {output}{there}", highlight=False, soft_wrap=True, markup=False)
    if not failures:
        out.print(f"Next: python experiments/tune.py --data {output}", highlight=False, soft_wrap=True, markup=False)
    name_failures(failures)
