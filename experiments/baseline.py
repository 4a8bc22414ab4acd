"""Repeat the first network's protocol, and compare the results with those of its author.

Run, from the project's folder (150 epochs with each of three seeds; an interrupted command resumes):
    python experiments/baseline.py --data PATH

The protocol draws 800 training and 199 test images at random, so some of the recordings that the dataset contains more
than once are in both sets. It uses 5 % of the training images for validation, and trains for 150 epochs with NAdam and
learning-rate decay, without augmentation. The author's network classified 70.85 % of the test images correctly.
"""

import statistics
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from raygenre.cli.console import exit_on_errors, out
from raygenre.cli.options import StorageOption
from raygenre.data import dataset as data_sets
from raygenre.evaluation.metrics import wilson_interval
from raygenre.system.storage import resolve
from raygenre.system.worker_pool import cores
from raygenre.workflows import results
from raygenre.workflows.result_rows import ROWS

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results"
AUTHORS_ACCURACY = 0.7085
AUTHORS_STRONG = ("classical", "country", "hiphop", "disco", "pop")  # highest recall in the author's confusion matrix
AUTHORS_WEAK = ("jazz", "blues", "reggae")  # lowest recall in the same matrix


@exit_on_errors()
def main(
    data: Annotated[Path, typer.Option(help="Folder of the dataset's images.")],
    jobs: Annotated[int, typer.Option(help="Training runs at a time, one core each (default: all cores).")] = 0,
    storage: StorageOption = None,
) -> None:
    """Train and test the project's first network with three seeds."""
    place, row = resolve(storage, None), ROWS["baseline"]
    files = results.Files(data, data, place.root / "measurements", place.cache)
    command = "python experiments/baseline.py --data PATH"
    for _, seed, _ in results.measure([row], files, RESULTS, command=command, jobs=jobs or cores()):
        out.print(f"seed {seed} is finished", highlight=False)
    content = results.read(RESULTS, row)
    assert content
    seeds = list(content["seeds"].values())
    accuracies = [seed["hits"] / seed["tracks"] for seed in seeds]
    low, high = wilson_interval(round(statistics.mean(seed["hits"] for seed in seeds)), seeds[0]["tracks"])
    out.print(
        f"accuracy {statistics.mean(accuracies):.1%} (95 % interval {low:.1%} to {high:.1%}; "
        f"seeds {', '.join(f'{accuracy:.1%}' for accuracy in accuracies)}); the author's {AUTHORS_ACCURACY:.2%}",
        highlight=False,
    )
    genres = data_sets.load(data, cache=place.cache).genres
    confusion = np.sum([seed["confusion"] for seed in seeds], axis=0)  # true genre × predicted genre
    shares = confusion / confusion.sum(axis=1, keepdims=True)
    for number, genre in enumerate(genres):
        others = np.where(np.arange(len(genres)) == number, -1.0, shares[number])
        wrong = int(others.argmax())
        author = "strong" if genre in AUTHORS_STRONG else "weak" if genre in AUTHORS_WEAK else ""
        recall, confused = f"{shares[number, number]:.0%}", f"{genres[wrong]} {others[wrong]:.0%}"
        out.print(
            f"{genre:>10} {recall:>5}  the author's: {author:<7} most often confused with {confused}", highlight=False
        )


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
