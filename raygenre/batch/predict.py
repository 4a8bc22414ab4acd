"""Predict the genres of songs by the million on a Ray cluster.

```text
songs ─► blocks ─► decode and classify, an actor per CPU ───────────────────► a Parquet file per block
                └► decode, an actor per CPU ─► classify, an actor per GPU ──┘   if the cluster has GPUs
```

On CPUs, the network runs in the process that decodes its input, as in `raygenre.workflows.predict`. Running the network
takes only a fraction of the time needed for decoding, so separate actors would mostly be idle, and the input would have
to be copied between processes. Each song is classified by the same calls as in that module, so the probabilities on
CPUs are identical, bit for bit. On a GPU, the last digits may differ.
"""

import math
import pickle
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import ray
import ray.data
import torch

from raygenre.batch import execution
from raygenre.batch.output import Output
from raygenre.batch.reading import Decode, Predict, classify, process
from raygenre.batch.rows import Rows, first_rows
from raygenre.batch.songs import SongList, blocks
from raygenre.errors import reason_of
from raygenre.model.classifier import Classifier
from raygenre.workflows.predict import SongResult

_DECODED = pa.schema([("path", pa.string()), ("song", pa.large_binary())])


@dataclass(frozen=True)
class SongOutcome:
    """The outcome for a song whose rows are stored.

    Attributes:
        genre: the predicted genre; empty if there was an error.
        error: why there is no prediction; empty if there is one.
    """

    path: str
    genre: str
    uncertain: bool
    error: str


def predict_all(
    classifier: Classifier,
    songs: SongList,
    output: Output,
    *,
    jobs: int = 0,
    longest_seconds: float = math.inf,
    gpus: int | None = None,
) -> Generator[SongOutcome, None, None]:
    """Predict songs' genres, store their rows, and yield each song's outcome as soon as its rows are stored.

    Closing the generator stops the work; repeating the call with `songs.without(output.done())` continues it.

    Args:
        jobs: number of actors that decode; 0 for one per CPU.
        longest_seconds: maximum duration of a song in s; longer songs fail.
        gpus: number of actors that classify, each on a GPU; 0 to classify in the actors that decode. By default, one
            for each GPU in the cluster.

    Raises:
        BatchError: the output cannot be written, or the cluster was lost.
    """
    execution.set_up()
    on_gpus = execution.gpus() if gpus is None else gpus
    parts = blocks(songs.table, execution.block_size(len(songs), jobs))
    dataset: ray.data.Dataset = ray.data.from_arrow(parts or [songs.table])
    store = Store(Rows(classifier.genres), output)
    pool = execution.pool(jobs, initial=execution.workers(jobs))
    if not on_gpus:
        predict = ray.put(Predict(classifier, songs.stores, longest_seconds))
        dataset = dataset.map_batches(
            Predictor,
            batch_size=None,
            batch_format="pyarrow",
            fn_constructor_args=(predict, songs.column, store),
            compute=pool,
            num_cpus=1,
        )
    else:
        decode = ray.put(Decode(classifier.input, songs.stores, longest_seconds))
        dataset = dataset.map_batches(
            _Decoder,
            batch_size=None,
            batch_format="pyarrow",
            fn_constructor_args=(decode, songs.column),
            compute=pool,
            num_cpus=1,
        ).map_batches(
            _Classifier,
            batch_size=execution.SONGS_PER_GPU_BATCH,
            batch_format="pyarrow",
            fn_constructor_args=(ray.put(classifier), store),
            compute=execution.pool(gpus or 0, initial=execution.gpus(), blocks=2),
            num_cpus=0,
            num_gpus=1 if execution.gpus() else 0,
        )
    for row in execution.rows(dataset, output.location):
        yield SongOutcome(row["path"], row["genre"] or "", bool(row["uncertain"]), row["error"])


@dataclass(frozen=True)
class Store:
    """Writes the results for a block of songs to one file.

    Actors write the file themselves, because a separate task would need another process with the same imports.
    """

    rows: Rows
    output: Output

    def __call__(self, results: Sequence[tuple[str, SongResult]]) -> pa.Table:
        """Return the outcome for each song and, if the results could not be stored, the reason."""
        table = self.rows.table(results)
        problem = ""
        if table.num_rows:
            try:
                self.output.write(table)
            except OSError as error:
                problem = reason_of(error)
        songs = first_rows(table).select(["path", "genre", "uncertain", "error"])
        return songs.append_column(execution.PROBLEM, pa.array([problem] * songs.num_rows, pa.string()))


class Predictor:
    """An actor that decodes and classifies songs on a CPU, and stores their rows."""

    def __init__(self, work: "ray.ObjectRef[Predict]", column: str, store: Store) -> None:
        torch.set_num_threads(1)
        self._work: Predict = ray.get(work)
        self._column, self._store, self._isolated = column, store, execution.was_restarted()

    def __call__(self, block: pa.Table) -> pa.Table:
        return self._store(list(process(self._work, block, column=self._column, isolated=self._isolated)))


class _Decoder:
    """An actor that decodes songs for a GPU."""

    def __init__(self, work: "ray.ObjectRef[Decode]", column: str) -> None:
        torch.set_num_threads(1)
        self._work: Decode = ray.get(work)
        self._column, self._isolated = column, execution.was_restarted()

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        for name, song in process(self._work, block, column=self._column, isolated=self._isolated):
            yield pa.table([[name], pa.array([pickle.dumps(song)], pa.large_binary())], schema=_DECODED)


class _Classifier:
    """An actor that classifies decoded songs, on a GPU if it has one, and stores their rows."""

    def __init__(self, classifier: "ray.ObjectRef[Classifier]", store: Store) -> None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._classifier: Classifier = ray.get(classifier).on(device)
        self._store = store

    def __call__(self, block: pa.Table) -> pa.Table:
        songs = zip(block["path"].to_pylist(), block["song"], strict=True)
        return self._store(
            [(name, classify(self._classifier, pickle.loads(song.as_buffer()))) for name, song in songs]  # noqa: S301
        )
