"""`raygenre tune`: search for the best setting of the genre CNN and register the winner."""

import os
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from raygenre.cli.checks import check_search
from raygenre.cli.console import exit_on_errors, out
from raygenre.cli.options import StorageOption, TrackingUriOption, VerboseOption
from raygenre.data.choices import GroupingName
from raygenre.search.options import Options
from raygenre.search.space.choices import ModelName, PresetName, SamplerName, SchedulerName, SplitName
from raygenre.training.choices import AugmentationName

SYNTHETIC_NOTE = (
    "No --data and no RAYGENRE_DATA: this search trains on synthetic tracks of ten\n"
    "made-up genres. It shows that everything works but says nothing about music.\n"
    "`.venv/bin/raygenre download` downloads GTZAN; pass its path as --data."
)
DEFAULT = Options()


def tune(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with one folder per genre, or Kaggle's GTZAN (default: $RAYGENRE_DATA)."),
    ] = DEFAULT.data,
    study: Annotated[str, typer.Option(help="Name of the study (default: date and time).")] = DEFAULT.study,
    trials: Annotated[
        int, typer.Option(help="Number of settings to try (default: 20, or 8 on synthetic tracks).", show_default=False)
    ] = DEFAULT.trials,
    epochs: Annotated[
        int,
        typer.Option(
            help="Maximum number of epochs per trial (default: 100, 40 for --preset original and pretrained "
            "features, or 8 on synthetic tracks).",
            show_default=False,
        ),
    ] = DEFAULT.epochs,
    seed: Annotated[int, typer.Option(help="Seed for the split, the sampler and all training runs.")] = DEFAULT.seed,
    split: Annotated[SplitName, typer.Option(help="Draw the split at random, or read it from lists.")] = DEFAULT.split,
    split_lists: Annotated[
        Path | None, typer.Option(help="Folder with train*.txt, valid*.txt and test*.txt.")
    ] = DEFAULT.split_lists,
    folds: Annotated[int, typer.Option(help="1: one stratified hold-out; K: K-fold cross-validation.")] = DEFAULT.folds,
    validation: Annotated[
        float, typer.Option(help="Share of the training tracks that a hold-out uses for validation.")
    ] = DEFAULT.validation,
    duplicates: Annotated[
        Path | None, typer.Option(help="File that lists tracks of the same recording.")
    ] = DEFAULT.duplicates,
    keep_duplicates: Annotated[
        bool, typer.Option("--keep-duplicates", help="Allow copies of a recording in several subsets of the split.")
    ] = DEFAULT.keep_duplicates,
    group_by: Annotated[
        GroupingName,
        typer.Option(help="Keep songs of one artist, album or folder in the same subset (auto: if known)."),
    ] = DEFAULT.group_by,
    artists: Annotated[
        Path | None, typer.Option(help="File that names each track's artist: TRACK ::: ARTIST or TRACK,ARTIST.")
    ] = DEFAULT.artists,
    merge_case: Annotated[
        bool, typer.Option("--merge-case", help="Merge class folders whose names differ only in case.")
    ] = DEFAULT.merge_case,
    sampler: Annotated[
        Literal["auto", SamplerName], typer.Option(help="How Optuna chooses settings.")
    ] = DEFAULT.sampler,
    scheduler: Annotated[
        SchedulerName, typer.Option(help="Rule that stops bad trials early, or none.")
    ] = DEFAULT.scheduler,
    model: Annotated[
        ModelName,
        typer.Option(
            help="cnn: a network on spectrograms; pretrained: one on features that a pretrained network computes from "
            "audio; auto: pretrained if the data is audio and that network is installed."
        ),
    ] = DEFAULT.model,
    preset: Annotated[
        Literal["auto", PresetName],
        typer.Option(
            help="The project's first network, or an improved one, the default on real data; --space overrides its "
            "entries."
        ),
    ] = DEFAULT.preset,
    space: Annotated[
        Path | None, typer.Option(help="YAML file of the search space; see experiments/space.yaml.")
    ] = DEFAULT.space,
    search_width: Annotated[
        bool, typer.Option("--search-width", help="Also search the network's width.")
    ] = DEFAULT.search_width,
    start: Annotated[
        list[str], typer.Option(help="Setting to try first, such as dropout=0.3,decay=0.01; repeatable.")
    ] = [],  # noqa: B006
    from_studies: Annotated[
        list[str], typer.Option("--from", help="First try the best settings of this earlier study; repeatable.")
    ] = [],  # noqa: B006
    from_best: Annotated[int, typer.Option(help="Number of settings to take from each --from.")] = DEFAULT.from_best,
    objectives: Annotated[
        str, typer.Option(help="loss alone, or loss or accuracy followed by parameters, latency or both.")
    ] = DEFAULT.objectives,
    config: Annotated[
        Path | None, typer.Option(help="Repeat the search described by a run.yaml; other options override it.")
    ] = DEFAULT.config,
    batch_size: Annotated[
        int, typer.Option(help="Tracks per step (default: 16, or 4 on synthetic tracks).", show_default=False)
    ] = DEFAULT.batch_size,
    augmentation: Annotated[
        AugmentationName, typer.Option(help="erasing: blank random rectangles.")
    ] = DEFAULT.augmentation,
    cpus_per_trial: Annotated[float | None, typer.Option(help="CPUs per trial (default: 1).")] = DEFAULT.cpus_per_trial,
    gpus_per_trial: Annotated[
        float | None, typer.Option(help="GPUs per trial; may be a fraction (default: 1 if there is a GPU).")
    ] = DEFAULT.gpus_per_trial,
    max_concurrent: Annotated[
        int, typer.Option(help="Maximum number of concurrent trials (default: as many as fit).", show_default=False)
    ] = DEFAULT.max_concurrent,
    time_budget: Annotated[
        str, typer.Option(help="Time limit for the whole search, such as 45m, 2h or 1d12h (default: none).")
    ] = DEFAULT.time_budget,
    patience: Annotated[
        int, typer.Option(min=0, help="Start no more trials after this many in a row without improvement; 0: no limit.")
    ] = DEFAULT.patience,
    max_failures: Annotated[
        int,
        typer.Option(min=0, help="End the search after this many trials in a row fail for the same reason; 0: never."),
    ] = DEFAULT.max_failures,
    address: Annotated[
        str | None, typer.Option(help="Address of a Ray cluster (default: a private one on this machine).")
    ] = DEFAULT.address,
    storage: StorageOption = DEFAULT.storage,
    study_url: Annotated[
        str | None, typer.Option(help="Database for the Optuna study (default: a file in the storage).")
    ] = DEFAULT.study_url,
    tracking_uri: TrackingUriOption = DEFAULT.tracking_uri,
    resume: Annotated[bool, typer.Option("--resume", help="Resume --study, or the latest study.")] = DEFAULT.resume,
    top_k: Annotated[
        int,
        typer.Option(
            help="Number of best settings to repeat on new seeds (default: 3, or 2 on synthetic tracks).",
            show_default=False,
        ),
    ] = DEFAULT.top_k,
    promote: Annotated[
        bool | None, typer.Option(help="Always or never make the winner the champion (default: if it is better).")
    ] = DEFAULT.promote,
    verbose: VerboseOption = DEFAULT.verbose,
) -> None:
    """Search for the best setting of the genre CNN, log every run to MLflow, and register the winner.

    By default, the search covers dropout, learning rate and decay; use --space to search other hyperparameters.
    """
    started = time.monotonic()
    if not (data or config or resume or os.environ.get("RAYGENRE_DATA")):
        out.print(SYNTHETIC_NOTE, highlight=False, soft_wrap=True)
    sources = {name: context.get_parameter_source(name) for name in context.params}
    options = Options(
        data=data,
        study=study,
        trials=trials,
        epochs=epochs,
        seed=seed,
        split=split,
        split_lists=split_lists,
        folds=folds,
        validation=validation,
        duplicates=duplicates,
        keep_duplicates=keep_duplicates,
        group_by=group_by,
        artists=artists,
        merge_case=merge_case,
        sampler=sampler,
        scheduler=scheduler,
        model=model,
        preset=preset,
        space=space,
        search_width=search_width,
        start=tuple(start),
        from_studies=tuple(from_studies),
        from_best=from_best,
        objectives=objectives,
        config=config,
        batch_size=batch_size,
        augmentation=augmentation,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        max_concurrent=max_concurrent,
        time_budget=time_budget,
        patience=patience,
        max_failures=max_failures,
        address=address,
        storage=storage,
        study_url=study_url,
        tracking_uri=tracking_uri,
        resume=resume,
        top_k=top_k,
        promote=promote,
        verbose=verbose,
        given=frozenset(name for name, source in sources.items() if source and source.name == "COMMANDLINE"),
    )
    with exit_on_errors():  # needed because experiments/tune.py does not use `CommandGroup`
        check_search(options)
    from raygenre.cli.tune_run import run_tune  # imported here because Ray is slow to import

    run_tune(options, out, started=started)
