"""`raygenre tag`: write predicted genres into the tags of songs, or undo these changes."""

from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raygenre.cli.checks import check_output, check_readable
from raygenre.cli.console import INTERRUPTED, bar, fail, out, print_failures, print_left_out, print_warning
from raygenre.cli.options import CacheOption, ModelOption, StorageOption, TrackingUriOption, VerboseOption
from raygenre.cli.predict import open_cache
from raygenre.system.printable import printable

if TYPE_CHECKING:
    from raygenre.registry.versions import Fetched
    from raygenre.tagging.log import LogError, TagLog
    from raygenre.tagging.open_tags import Present
    from raygenre.tagging.plan import Plan
    from raygenre.workflows.prediction_cache import PredictionCache

LOG = Path("raygenre-tags.jsonl")


def tag(
    context: typer.Context,
    sources: Annotated[
        list[Path] | None,
        typer.Argument(help="Songs, folders of them, playlists (.m3u, .m3u8).", show_default=False),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the genres; otherwise they are only shown.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace genres that songs already have.")] = False,
    names: Annotated[
        Path | None,
        typer.Option("--map", help="YAML file with your own names for the model's genres.", show_default=False),
    ] = None,
    provenance: Annotated[
        bool, typer.Option("--provenance", help="Also write the model's name and its confidence.")
    ] = False,
    log: Annotated[Path, typer.Option(help="Where --write records the changes, for --undo.")] = LOG,
    undo: Annotated[
        Path | None,
        typer.Option(metavar="LOG", help="Undo the changes recorded in a log.", show_default=False),
    ] = None,
    model: ModelOption = "",
    jobs: Annotated[int, typer.Option(min=0, help="Worker processes; 0: one per core, or one for few songs.")] = 0,
    use_cache: CacheOption = True,
    verbose: VerboseOption = False,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Write the predicted genres into the tags of songs.

    Only shows what would be written unless --write is used. Existing genres are kept unless --overwrite is used, and
    nothing is written if the model is uncertain. --undo reverts exactly the changes recorded in a log.
    """
    if undo:
        origins = {name: context.get_parameter_source(name) for name in context.params}
        if [name for name, origin in origins.items() if origin and origin.name == "COMMANDLINE"] != ["undo"]:
            # The log alone determines what is undone, so no other option would have an effect.
            fail("--undo LOG cannot be combined with songs or other options")
        _undo(undo)
        return
    if not sources:
        fail("specify the songs or folders to tag, or use --undo LOG")
    from raygenre.data.folder_scan import scan_notes
    from raygenre.registry.versions import CHAMPION_URI, fetch
    from raygenre.system.storage import resolve
    from raygenre.tagging.log import TagLog
    from raygenre.tagging.open_tags import Present
    from raygenre.tracking.server import Server
    from raygenre.workflows.sources import expand_sources
    from raygenre.workflows.tag import remove_abandoned_copies, survey

    check_readable(names)
    check_output(log if write else None)
    files = expand_sources(sources)
    for entry, reason in files.skipped:
        print_warning(f"{entry}: {reason}", "skipped:")
    print_left_out(scan_notes(files.clutter, files.left_out), files.left_out if verbose else [])
    songs = [song for song in files.songs if song.suffix.lower() != ".png"]  # spectrograms have no genre tag
    if not songs and (files.failed or files.skipped):
        print_failures(files.failed)
        raise typer.Exit(1)
    with bar() as progress:
        tags = survey(songs, overwrite=overwrite)
        surveyed = dict(progress.track(tags, total=len(songs), description="reading tags"))
    needs_model = any(isinstance(plan, Present) for plan in surveyed.values())
    place = resolve(storage_folder, tracking_uri)
    fetched = fetch(Server(place), model or CHAMPION_URI) if needs_model else None
    genre_names = _genre_names(names, fetched)
    if fetched:
        _check_training_data(fetched, write=write)
    cache = open_cache(fetched.classifier, place.cache / "predictions") if fetched and use_cache else None
    if write:
        remove_abandoned_copies(songs)
    done: list[Plan] = []
    with TagLog(log) if write and needs_model else nullcontext() as tag_log:
        ended = _run(surveyed, fetched, genre_names, tag_log, cache, done, provenance=provenance, jobs=jobs)
    from raygenre.cli.tag_report import print_plans

    print_plans(done, files.root, written=write)
    if write and any(plan.action == "write" for plan in done):
        out.print(f"to undo this: raygenre tag --undo {printable(log)}", soft_wrap=True)
    elif any(plan.action == "write" for plan in done):
        out.print("nothing was written; use --write to write the genres", soft_wrap=True)
    if isinstance(ended, KeyboardInterrupt):
        text = f"interrupted after {len(done)} of {len(songs)} songs; run the same command again to continue"
        out.print(text, soft_wrap=True)
    print_failures(files.failed)
    print_failures([(printable(plan.path), plan.reason) for plan in done if plan.action == "fail"])
    if isinstance(ended, KeyboardInterrupt):
        raise typer.Exit(INTERRUPTED)
    if ended:
        fail(str(ended))
    if files.failed or any(plan.action == "fail" for plan in done):
        raise typer.Exit(1)


def _run(
    surveyed: "Mapping[Path, Plan | Present]",
    fetched: "Fetched | None",
    names: Mapping[str, Sequence[str]],
    log: "TagLog | None",
    cache: "PredictionCache | None",
    done: "list[Plan]",
    *,
    provenance: bool,
    jobs: int,
) -> "KeyboardInterrupt | LogError | None":
    """Plan the changes to each song; with a log, also write them. Append the results to `done`.

    Returns:
        the exception that ended the run early, or None.
    """
    from raygenre.tagging.log import LogError
    from raygenre.tagging.plan import Plan, with_provenance
    from raygenre.workflows.tag import apply, plans

    if fetched is None:
        done += [plan for plan in surveyed.values() if isinstance(plan, Plan)]
        return None
    from raygenre.system.worker_pool import suitable_jobs
    from raygenre.workflows.predict import predict_songs

    classifier, model = fetched.classifier, fetched.name if provenance else None
    unknown = sum(not isinstance(plan, Plan) for plan in surveyed.values())
    processes = jobs or suitable_jobs(unknown)
    predict = partial(predict_songs, classifier, jobs=processes, cache=cache)
    try:
        with bar() as progress, closing(plans(surveyed, predict, names)) as stream:
            for plan in progress.track(stream, total=len(surveyed), description="tagging" if log else "predicting"):
                final = plan if model is None else with_provenance(plan, model)
                done.append(apply(final, log, model=model, cache=cache) if log else final)
    except (KeyboardInterrupt, LogError) as error:  # songs that have been written must still be reported
        return error
    return None


def _genre_names(path: Path | None, fetched: "Fetched | None") -> Mapping[str, Sequence[str]]:
    from raygenre.tagging.genre_map import read_genre_map

    return read_genre_map(path, fetched.classifier.genres if fetched else None) if path else {}


def _check_training_data(fetched: "Fetched", *, write: bool) -> None:
    """Warn about a model that was trained only on synthetic sounds, and refuse to write its predictions."""
    from raygenre.evaluation.training_data import TrainingData

    if warning := TrainingData.of(fetched.classifier, fetched.facts).warning:
        text = f"{fetched.name} was {warning}: its predictions for real songs are meaningless"
        if write:
            fail(f"{text}, so they are not written; choose another --model")
        print_warning(text)


def _undo(path: Path) -> None:
    from raygenre.cli.tag_report import undo_text
    from raygenre.tagging.log import read_log
    from raygenre.tagging.undo import undo

    records = read_log(path)
    with bar() as progress:
        total = len({record.file for record in records})
        results = list(progress.track(undo(records), total=total, description="undoing"))
    out.print(undo_text(results), soft_wrap=True)
    left = [(printable(result.path), result.reason) for result in results if result.outcome == "left"]
    print_failures(left)
    if left:
        raise typer.Exit(1)
