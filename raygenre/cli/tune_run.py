"""Runs `raygenre tune`: loads the tracks, connects to Ray, opens the study and searches."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import optuna
import typer
from rich.console import Console

from raygenre.cli.console import INTERRUPTED, fail
from raygenre.cli.progress import ConsoleDisplay
from raygenre.cli.tune_report import command, environment, print_plan, print_result, resume_command
from raygenre.data import dataset as data_sets
from raygenre.data.broken_files import skipped, summary
from raygenre.data.dataset import Dataset
from raygenre.errors import RaygenreError
from raygenre.search.controls import Controls
from raygenre.search.network_choice import choose_network
from raygenre.search.options import Options
from raygenre.search.resolve import check_unchanged, merges_case, time_budget
from raygenre.search.resolve import resolve as resolve_search
from raygenre.search.space import config_file
from raygenre.search.space.config import Resources
from raygenre.search.study.backend import STORAGE_ERRORS, check_name, latest_study, storage_error_text
from raygenre.search.study.earlier_studies import best_settings
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.study_attributes import set_limits
from raygenre.search.trials.cluster import RayError, connect, resources
from raygenre.search.trials.failure_watch import SearchFailedError
from raygenre.system.moved_storage import StorageBusyError, follow_move
from raygenre.system.printable import printable
from raygenre.system.storage import Storage, resolve
from raygenre.tracking.server import Server
from raygenre.tracking.server_errors import TrackingError, reason
from raygenre.workflows import tune as job
from raygenre.workflows.split_tracks import group_tracks, make_split

ERRORS = (RaygenreError, OSError, TrackingError, *STORAGE_ERRORS, RayError)
"""Errors that end a search and that a user can cause or fix."""

_RESUMABLE = (
    OSError,
    *STORAGE_ERRORS,
    RayError,
    SearchFailedError,
    TrackingError,
)  # after these errors, the search can be resumed


def run_tune(options: Options, console: Console, *, started: float) -> None:
    """Run or resume a search.

    Args:
        started: time at which the command started, in s, from `time.monotonic`.

    Raises:
        typer.Exit: with status 2 after an error, and with status 130 after Ctrl-C; the reason is printed.
    """
    session = TuneSession(options, console)
    try:
        session.run(started)
    except KeyboardInterrupt:
        message = "Interrupted before the study was created."
        if session.ledger:
            message = f"Interrupted. Everything so far is saved. Resume with:\n  {session.resume}"
        console.print(f"\n{message}", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    except job.PromotionPendingError as error:
        promote = f"{environment(session.storage)}{command('raygenre')} promote {error.version}"
        fail(f"{error}\nTo decide about the champion later, run:\n  {promote}")
    except ERRORS as error:
        message = session.reason(error)
        if session.ledger and isinstance(error, _RESUMABLE):
            message += f"\nEverything so far is saved. Fix the error, then resume with:\n  {session.resume}"
        fail(message)


class TuneSession:
    """One run of a search, with everything that it loads and prints.

    Args:
        controls: limits that may change while the search runs. The search also reports through them how many places it
            could use. A search with controls shares its machine with other searches.

    Attributes:
        ledger: ledger of the study; None until it is open.
        storage: storage of studies, runs and models, set by `run`.
    """

    storage: Storage

    def __init__(self, options: Options, console: Console, *, controls: Controls | None = None) -> None:
        self.ledger: Ledger | None = None
        self._controls = controls
        self._options = options
        self._console = console
        self._display = ConsoleDisplay(console)

    @property
    def resume(self) -> str:
        """The command that resumes the study."""
        assert self.ledger
        return resume_command(self._options, self.ledger.name)

    def run(self, started: float) -> None:
        """Run or resume the search, and print its result.

        Raises:
            SearchStopped: the controls requested a stop.
            PromotionPendingError: the model is registered, but the champion could not be changed.
            KeyboardInterrupt: the user pressed Ctrl-C.
            any of `ERRORS`: see `reason`.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        options, display = self._options, self._display
        self.storage = resolve(options.storage, options.tracking_uri)
        self.storage.studies.check_access()
        with suppress(StorageBusyError):  # the tracker retries this
            if move := follow_move(self.storage):
                display.info("storage", str(move))
        ledger, tracks, allowed = self._resume() if options.resume else self._create()
        print_plan(ledger, allowed, display)
        server = Server(self.storage)
        outcome = job.run(
            ledger,
            tracks,
            server,
            resources=allowed,
            promote=options.promote,
            display=display,
            max_failures=options.max_failures,
            controls=self._controls,
        )
        seconds = time.monotonic() - started
        print_result(outcome, ledger, server, display=display, console=self._console, seconds=seconds)

    def reason(self, error: Exception) -> str:
        """Return a message that explains why one of `ERRORS` ended the search."""
        if isinstance(error, TrackingError):
            return f"MLflow at {self.storage.server}: {reason(error)}"
        if isinstance(error, STORAGE_ERRORS):
            return f"the study cannot be written: {storage_error_text(error)}"
        return str(error)

    def _create(self) -> tuple[Ledger, Dataset, Resources]:
        """Check all options, then create the study."""
        options = self._options
        name = options.study or datetime.now().strftime("study-%Y%m%d-%H%M%S")
        check_name(name)
        base = config_file.read(options.config) if options.config else None
        default = base["data"] if base else os.environ.get("RAYGENRE_DATA")
        source = options.data or (Path(default) if default else None)
        tracks, connected = self._load_and_connect(source, merge_case=merges_case(options, base))
        network, why = choose_network(options, tracks, base)
        earlier = [
            setting
            for study in options.from_studies
            for setting in best_settings(self.storage.studies, study, k=options.from_best, url=options.study_url)
        ]
        search, notes = resolve_search(options, tracks, base, network=network, earlier=earlier)
        if why:
            self._display.info("model", why)
        grouping = group_tracks(tracks, search)
        split = make_split(tracks, search, grouping)
        search = replace(search, group_by=grouping.by)
        if grouping.note:
            notes["groups"] = grouping.note
        for topic, note in notes.items():
            self._display.info(topic, note)
        allowed = self._resources(connected)
        self.ledger = Ledger.create(self.storage.studies, name, config=search, split=split, url=options.study_url)
        return self.ledger, tracks, allowed

    def _resume(self) -> tuple[Ledger, Dataset, Resources]:
        options, studies = self._options, self.storage.studies
        self.ledger = ledger = Ledger.open(studies, options.study or latest_study(studies), url=options.study_url)
        check_unchanged(options, ledger)
        ledger.extend(options.trials or ledger.config.trials)
        set_limits(
            ledger,
            time_budget=time_budget(options) if "time_budget" in options.given else None,
            patience=options.patience if "patience" in options.given else None,
        )
        stored = Path(ledger.config.data) if ledger.config.data else None
        tracks, connected = self._load_and_connect(options.data or stored, merge_case=ledger.config.merge_case)
        return ledger, tracks, self._resources(connected)

    def _load_and_connect(self, source: Path | None, *, merge_case: bool) -> tuple[Dataset, str]:
        """Load the tracks, and return them with the text from `connect`.

        The text is empty if Ray has not started yet. Ray starts while synthetic tracks are being generated. With real
        data, Ray starts later, because the options may turn out not to suit the data.
        """
        if source:
            return self._load(source, merge_case=merge_case), ""
        with ThreadPoolExecutor(max_workers=1) as pool:
            drawing = pool.submit(self._load, None)
            connected = connect(self._options.address)
            return drawing.result(), connected

    def _load(self, source: Path | None, *, merge_case: bool = False) -> Dataset:
        with self._display.phase("tracks", f"read {source}" if source else "draw synthetic tracks") as phase:
            cache = self.storage.cache
            tracks = data_sets.load(source, cache=cache, merge_case=merge_case, progress=phase.update)
            phase.result = f"{len(tracks.tracks)} tracks of {len(tracks.genres)} genres"
        for note in tracks.notes:
            self._display.info("tracks", note)
        if self._options.verbose:
            for file in tracks.left_out:
                self._display.message(f"  {printable(file.path)}: {file.reason}")
        if tracks.broken:
            self._display.event("tracks", "failed", f"{skipped(tracks.broken)}:")
            self._display.message(summary(tracks.broken))
        return tracks

    def _resources(self, connected: str) -> Resources:
        options = self._options
        self._display.info("ray", connected or connect(options.address))
        return resources(
            options.cpus_per_trial,
            options.gpus_per_trial,
            options.max_concurrent,
            private=not (options.address or self._controls),
        )
