"""The part of `raygenre predict` that predicts on a Ray cluster and writes Parquet files."""

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from raygenre.cli.console import (
    INTERRUPTED,
    MAX_FAILURES,
    bar,
    err,
    fail,
    out,
    print_failures,
    print_left_out,
    print_warning,
    report_failures,
)
from raygenre.system.location import Location, is_url
from raygenre.system.printable import printable

if TYPE_CHECKING:
    from raygenre.batch.predict import SongOutcome
    from raygenre.tracking.server import Server


def predict_on_cluster(
    sources: list[str],
    server: "Server",
    address: str,
    output: str,
    *,
    model: str,
    column: str,
    jobs: int,
    longest_seconds: float,
    retry_failed: bool,
    verbose: bool,
) -> None:
    """Predict genres on a cluster and write Parquet files, skipping songs that are already done.

    Args:
        address: the cluster's address, or `local` for a private cluster on this machine.
        column: name of the Parquet column that contains paths or file contents; if empty, `path`.
        retry_failed: whether to retry songs that have an error in the output.

    Raises:
        RaygenreError: a source, the model, the cluster or the output is unusable.
        typer.Exit: with status 1 if a song failed, and with status 130 after Ctrl-C.
    """
    from raygenre.batch.nodes import check_nodes, connect
    from raygenre.batch.output import Output
    from raygenre.batch.predict import predict_all
    from raygenre.batch.songs import find_songs
    from raygenre.data.folder_scan import scan_notes
    from raygenre.evaluation.training_data import TrainingData
    from raygenre.registry.versions import CHAMPION_URI, fetch

    stored = Output(Location(output if is_url(output) else str(Path(output).absolute())))
    songs = find_songs(sources, column)
    for entry, reason in songs.skipped:
        print_warning(f"{printable(entry)}: {reason}", "skipped:")
    print_left_out(scan_notes(songs.clutter, songs.left_out), songs.left_out if verbose else [])
    if not len(songs):
        report_failures(songs.failed)
        fail("the sources contain no songs")
    fetched = fetch(server, model or CHAMPION_URI)
    classifier = fetched.classifier
    stored.open(fetched.name, {"format": 1, "sha256": classifier.sha256, "genres": list(classifier.genres)})
    if retry_failed:
        stored.forget_failures()
    left = songs.without(stored.done())
    if done := len(songs) - len(left):
        out.print(f"{done} of {len(songs)} songs are already done in {printable(output)}", soft_wrap=True)
    tally = _Tally()
    if len(left):
        out.print(f"ray: {connect(address)}", soft_wrap=True)
        check_nodes(shared_places(sources), stored.location)
        tally.follow(predict_all(classifier, left, stored, jobs=jobs, longest_seconds=longest_seconds), len(left))
    out.print(f"{printable(output)}: {tally.summary()}", soft_wrap=True)
    if warning := TrainingData.of(classifier, fetched.facts).warning:
        print_warning(f"{printable(fetched.name)} was {warning}: its predictions for real songs are meaningless")
    if tally.interrupted:
        text = f"interrupted after {tally.songs} of {len(left)} songs; run the same command again to continue"
        out.print(text, soft_wrap=True)
    print_failures(songs.failed)
    print_failures(tally.failures)
    if rest := tally.failed - len(tally.failures):
        err.print(f"and {rest} more; all are listed in the column `error` of {printable(output)}", soft_wrap=True)
    if tally.interrupted:
        raise typer.Exit(INTERRUPTED)
    if songs.failed or tally.failed:
        raise typer.Exit(1)


def shared_places(sources: Sequence[str]) -> list[str]:
    """Return the URLs and the existing paths among the sources; every node must be able to read them."""
    paths = [str(Path(source).absolute()) for source in sources if not is_url(source) and Path(source).exists()]
    return [source for source in sources if is_url(source)] + paths


@dataclass
class _Tally:
    """Counts of the finished songs; memory use does not grow with the number of songs.

    Attributes:
        genres: number of songs per genre, excluding uncertain predictions.
        failures: the first failed songs, with the reasons.
    """

    genres: Counter[str] = field(default_factory=Counter)
    uncertain: int = 0
    failed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    interrupted: bool = False

    @property
    def songs(self) -> int:
        return self.genres.total() + self.uncertain + self.failed

    def follow(self, outcomes: "Generator[SongOutcome, None, None]", total: int) -> None:
        """Count songs as they finish, until all are done or Ctrl-C is pressed."""
        try:
            with bar() as progress, closing(outcomes) as stream:
                for outcome in progress.track(stream, total=total, description="predicting"):
                    self._add(outcome)
        except KeyboardInterrupt:
            self.interrupted = True

    def _add(self, outcome: "SongOutcome") -> None:
        if outcome.error:
            self.failed += 1
            if len(self.failures) < MAX_FAILURES:
                self.failures.append((printable(outcome.path), outcome.error))
        elif outcome.uncertain:
            self.uncertain += 1
        else:
            self.genres[outcome.genre] += 1

    def summary(self) -> str:
        """Return the number of songs per genre as text, like `raygenre.workflows.predict_output.summary_text`."""
        parts = [", ".join(f"{printable(genre)} {count}" for genre, count in self.genres.most_common())]
        parts += [f"{self.uncertain} uncertain"] * bool(self.uncertain) + [f"{self.failed} failed"] * bool(self.failed)
        songs = f"{self.songs} song" + "s" * (self.songs != 1)
        return f"{songs}: {'; '.join(filter(None, parts))}" if self.songs else "no new songs"
