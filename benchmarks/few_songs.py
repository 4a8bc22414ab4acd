"""Compares pretrained features with spectrograms: accuracy with few songs, and search times.

Run from the project's folder, after `raygenre pretrained install`:
    .venv/bin/python benchmarks/few_songs.py                   # accuracy with 5, 10 and 20 songs per class, 10 minutes
    .venv/bin/python benchmarks/few_songs.py --searches        # also two searches on 100 songs, 10 minutes more

The songs are synthetic and deliberately hard: an 8 s clip of one of five genres, mixed with a quieter clip of another
genre (−6 to −2 dB) and with noise. Each seed uses different training songs and initial weights; the 100 test songs (20
of each genre) are always the same. Each network uses a fixed setting, the first point of its preset, and is tested
after its last epoch, so no tracks are used for selection. All runs process about the same total number of songs, so
runs with fewer songs train for more epochs. Each result is also printed as soon as it is available.

Each search is a complete run of `raygenre tune` with its own storage. Both use the same 100 FLAC files, 20 of each
genre, and the same number of trials and epochs. The measured times cover everything from the start of the command until
there is a champion, including Ray's startup and MLflow.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported

import numpy as np
import soxr
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from raygenre import audio, spectrogram
from raygenre.audio.encoding import encode
from raygenre.audio.synthesis import synthesise
from raygenre.data.threads import on_all_cores
from raygenre.inputs import kinds
from raygenre.model.inference import predict_logits
from raygenre.search.space.presets import HEAD, PRESETS, Preset
from raygenre.search.space.space import Setting, fixed_values
from raygenre.training.loop import fit
from raygenre.training.member import Inputs, Member, fitted

GENRES = ("chiptune", "choir", "march", "shuffle", "waltz")
COUNTS = (5, 10, 20)  # training songs per genre
TEST = 20  # test songs per genre
SECONDS = 8
VISITS = 2000  # songs that a run processes over all epochs
NETWORKS: dict[str, Preset] = {"head": HEAD, "CNN, improved": PRESETS["improved"], "CNN, original": PRESETS["original"]}


def main(
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 3,
    visits: Annotated[int, typer.Option(help="Songs that a run sees in all epochs together.")] = VISITS,
    searches: Annotated[bool, typer.Option(help="Also run the searches.")] = False,
    network: Annotated[list[str] | None, typer.Option(help="Networks to measure.")] = None,
    few: Annotated[bool, typer.Option(help="Measure the accuracy with few songs.")] = True,
    trials: Annotated[int, typer.Option(help="Trials of each search.")] = 8,
    epochs: Annotated[int, typer.Option(help="Epochs of each trial.")] = 20,
) -> None:
    """Print the tables."""
    console = Console()
    if few:
        console.print(accuracies(network or list(NETWORKS), seeds, visits))
    if searches:
        console.print(searched(trials, epochs))


def song(genre: str, number: int) -> NDArray[np.float32]:
    """Return a clip of a genre mixed with a quieter genre and noise, float32 (N,) at 22 050 Hz."""
    random = np.random.default_rng([GENRES.index(genre), number])
    other = str(random.choice([name for name in GENRES if name != genre]))
    length = SECONDS * audio.SAMPLE_RATE
    parts = []
    for name in (genre, other):
        samples = synthesise(name, seed=1000 + number)
        start = int(random.integers(0, len(samples) - length))
        part = samples[start : start + length]
        parts.append(part / max(float(np.sqrt((part**2).mean())), 1e-6))
    mixed = parts[0] + 10 ** (random.uniform(-6, -2) / 20) * parts[1] + 0.1 * random.standard_normal(length)
    return (0.1 * mixed).clip(-1, 1).astype(np.float32)


def accuracies(networks: list[str], seeds: int, visits: int) -> Table:
    """Return a table of test accuracy by network and number of training songs."""
    most = max(COUNTS)
    numbers = [*range(TEST), *range(TEST, TEST + seeds * most)]  # the first songs are the test songs
    songs = [(genre, number) for genre in GENRES for number in numbers]
    labels = np.array([GENRES.index(genre) for genre, _ in songs], dtype=np.int64)
    place = np.array([number for _, number in songs])
    features = kinds.installed("features")

    def both(named: tuple[str, int]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        samples = song(*named)
        window = audio.windows(samples)[0].samples
        levels = spectrogram.levels(torch.from_numpy(window)).numpy()
        resampled = soxr.resample(samples, audio.SAMPLE_RATE, features.sample_rate)
        return levels, features.from_blocks([resampled]).windows[0]

    computed = on_all_cores(both, songs, None)
    levels, rows = (np.stack(values) for values in zip(*computed, strict=True))
    table = Table(
        "network", *(f"{count} songs a genre" for count in COUNTS), "CPU s", title="accuracy on 100 test songs"
    )
    test = np.flatnonzero(place < TEST)
    for name in networks:
        preset = NETWORKS[name]
        cells, started = [], time.process_time()
        for count in COUNTS:
            results = []
            for seed in range(seeds):
                first = TEST + seed * most
                train = np.flatnonzero((place >= first) & (place < first + count))
                inputs: Inputs = rows if preset is HEAD else levels
                results.append(accuracy(preset, inputs, labels, train, test, seed=seed, visits=visits))
                print(f"{name}, {count} songs, seed {seed}: {results[-1]:.1%}", file=sys.stderr, flush=True)
            cells.append(f"{np.mean(results):.1%} ({', '.join(f'{100 * result:.0f}' for result in results)})")
        table.add_row(name, *cells, f"{time.process_time() - started:.0f}")
    return table


def accuracy(
    preset: Preset,
    inputs: Inputs,
    labels: NDArray[np.int64],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    *,
    seed: int,
    visits: int,
) -> float:
    """Train a network with the first setting of its preset, and return its accuracy on the test songs."""
    torch.set_num_threads(1)
    setting = replace(preset.start, batch_size=preset.batch_size, **fixed_values(preset.entries))  # type: ignore[arg-type]
    assert isinstance(setting, Setting)
    member = Member(
        fitted(setting.model(len(GENRES)), inputs, train),
        setting.training(),
        seed=seed,
        train=train,
        validation=np.empty(0, dtype=np.int64),
        device=torch.device("cpu"),
    )
    for _ in fit(inputs, labels, [member], epochs=max(10, visits // len(train))):
        pass
    predicted = predict_logits(member.network, inputs[test]).argmax(dim=1).numpy()
    return float((predicted == labels[test]).mean())


def searched(trials: int, epochs: int) -> Table:
    """Return a table of the two searches: seconds until there is a champion, and test accuracy."""
    command = Path(sys.executable).with_name("raygenre")
    table = Table("search", "s to the champion", "test accuracy", title=f"{trials} trials of up to {epochs} epochs")
    scratch = Path(tempfile.mkdtemp(prefix="raygenre-few-songs-"))
    try:
        for genre in GENRES:
            (scratch / "songs" / genre).mkdir(parents=True)
            for number in range(TEST):
                data = encode(song(genre, number), "flac", "flac", rate=audio.SAMPLE_RATE)
                (scratch / "songs" / genre / f"{genre}{number:02d}.flac").write_bytes(data)
        for model in ("pretrained", "cnn"):
            storage = scratch / model
            started = time.perf_counter()
            options = [f"--data={scratch / 'songs'}", f"--model={model}", f"--trials={trials}", f"--epochs={epochs}"]
            run = subprocess.run(
                [command, "tune", *options, f"--storage={storage}"], capture_output=True, text=True, check=False
            )
            seconds = time.perf_counter() - started
            found = re.search(r"Test accuracy (\S+ ?%)", run.stdout)
            shown = found[1] if found else json.dumps(run.stderr[-200:])
            print(f"--model {model}: {seconds:.0f} s, {shown}", file=sys.stderr, flush=True)
            table.add_row(f"--model {model}", f"{seconds:.0f}", shown)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return table


if __name__ == "__main__":
    typer.run(main)
