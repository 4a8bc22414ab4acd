"""Render songs by the million as spectrogram images on a Ray cluster.

Songs and images are in folders or at URLs, in the layout of `raygenre.workflows.render`. If both are in folders, that
module's rule decides whether an existing image is kept. If the songs or the images are at a URL, an image is kept if it
is not older than its song, since a store contains only complete files.
"""

import os
from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import ray
import ray.data
import torch

from raygenre.batch import execution
from raygenre.batch.reading import Render, process
from raygenre.batch.song_table import of_files
from raygenre.batch.songs import blocks, music_urls
from raygenre.batch.stores import Stores
from raygenre.data.track_files import IMAGES, DataError
from raygenre.errors import file_errors, reason_of
from raygenre.system.location import Location, is_url
from raygenre.system.printable import exact, printable
from raygenre.workflows.render import RenderTarget, image_names, is_up_to_date, plan_renders


@dataclass(frozen=True)
class BatchPlan:
    """The songs to render on a cluster.

    Attributes:
        table: the songs, as in `raygenre.batch.song_table`, with an additional column `image`: the path of each image,
            relative to the output.
        stores: the stores that the songs' URLs refer to.
        kept: number of songs that are not in the table because their images already exist.
        classless: songs that are not in any class folder.
        unusable, left_out, clutter: as in `raygenre.data.folder_scan.FolderScan`; paths are printable.
    """

    table: pa.Table
    stores: Stores
    kept: int
    classless: tuple[str, ...]
    unusable: tuple[tuple[str, str], ...]
    left_out: tuple[tuple[Path, str], ...]
    clutter: Counter[str]


@dataclass(frozen=True)
class ImageOutcome:
    """The outcome for a song: a new image, an existing image, or an error."""

    song: str
    is_new: bool
    error: str


def plan_batch(source: str, output: Location) -> BatchPlan:
    """Plan which songs to render, given a folder or URL that contains `<class>/` folders.

    Raises:
        DataError: no class folder contains audio.
        LocationError: a URL is unusable.
        FileAccessError: a store cannot be read.
    """
    stores = Stores.of([source])
    if is_url(source):
        plan, modified = _plan_url(source, stores)
    else:
        local = plan_renders(Path(source).absolute(), Path())
        paths = [target.song for target in local.targets]
        table = of_files([exact(path) for path in paths], paths)
        images = [target.image.as_posix() for target in local.targets]
        plan = BatchPlan(
            table=table.append_column("image", pa.array(images)),
            stores=stores,
            kept=0,
            classless=tuple(map(printable, local.classless)),
            unusable=tuple((printable(path), reason) for path, reason in local.scan.unusable),
            left_out=local.scan.others,
            clutter=local.scan.clutter,
        )
        modified = {} if not output.is_remote else {exact(path): _modified(path) for path in paths}
    return _without_images(plan, output, modified) if modified else plan


def render_all(plan: BatchPlan, output: Location, *, jobs: int = 0) -> Generator[ImageOutcome, None, None]:
    """Render songs, write their images, and yield each song's outcome as soon as its image is written.

    Closing the generator stops the work; calling this function again with a new plan continues it.

    Args:
        jobs: number of actors; 0 for one per CPU.

    Raises:
        BatchError: the cluster was lost.
    """
    execution.set_up()
    parts = blocks(plan.table, execution.block_size(plan.table.num_rows, jobs))
    rendered = ray.data.from_arrow(parts or [plan.table]).map_batches(
        _Renderer,
        batch_size=None,
        batch_format="pyarrow",
        fn_constructor_args=(Render(plan.stores), output),
        compute=execution.pool(jobs, initial=execution.workers(jobs)),
        num_cpus=1,
    )
    for row in execution.rows(rendered, output):
        yield ImageOutcome(row["path"], row["is_new"], row["error"])


class _Renderer:
    """An actor that renders songs and writes their images."""

    def __init__(self, work: Render, output: Location) -> None:
        torch.set_num_threads(1)
        self._work, self._output, self._isolated = work, output, execution.was_restarted()

    def __call__(self, block: pa.Table) -> pa.Table:
        images = dict(zip(block["path"].to_pylist(), block["image"].to_pylist(), strict=True))
        left = block.filter(pa.array([not self._exists(row) for row in block.to_pylist()], pa.bool_()))
        outcomes = dict.fromkeys(images, "")
        new = set()
        for name, result in process(self._work, left, column="", isolated=self._isolated):
            if isinstance(result, bytes):
                try:
                    self._output.write(images[name], result)
                    new.add(name)
                except OSError as error:
                    outcomes[name] = f"{self._output / images[name]} cannot be written: {reason_of(error)}"
            else:
                outcomes[name] = result
        names = list(outcomes)
        columns = {"path": names, "is_new": [name in new for name in names], "error": list(outcomes.values())}
        return pa.table(columns | {execution.PROBLEM: [""] * len(names)})

    def _exists(self, row: Mapping[str, bytes | str]) -> bool:
        file = os.fsdecode(row["file"])
        if is_url(file) or self._output.is_remote:
            return False  # songs that already have images are not in the plan
        return is_up_to_date(RenderTarget(Path(file), self._output.folder / str(row["image"])))


def _plan_url(source: str, stores: Stores) -> tuple[BatchPlan, dict[str, int]]:
    """Return the plan for a URL, and the modification time of each song in ns since 1970."""
    with file_errors(f"{printable(source)} cannot be read"):
        files = stores.files(source)
    root = source.partition("?")[0].rstrip("/")
    urls, clutter = music_urls([file.url for file in files if not file.url.lower().endswith(".png")], root)
    names = {url: Path(url.removeprefix(root).lstrip("/")) for url in urls}
    classless = [url for url in urls if len(names[url].parts) < 2]
    songs = [url for url in urls if len(names[url].parts) >= 2]
    if not songs:
        problem = f"{printable(source)} contains none"
        raise DataError(f"rendering a data set requires <class>/ folders with audio files; {problem}")
    images = [f"{IMAGES}/{image.as_posix()}" for image in image_names([names[url] for url in songs])]
    table = of_files(songs, songs).append_column("image", pa.array(images))
    plan = BatchPlan(table, stores, 0, tuple(map(printable, classless)), (), (), clutter)
    return plan, {file.url: file.modified_ns for file in files}


def _without_images(plan: BatchPlan, output: Location, modified: Mapping[str, int]) -> BatchPlan:
    """Return a plan without the songs whose images are up to date, given the songs' modification times in ns."""
    from pyarrow.fs import FileSelector

    with file_errors(f"{printable(str(output))} cannot be read"):
        output.check_access()
        store, root = output.file_system()
        found = store.get_file_info(FileSelector(f"{root}/{IMAGES}", recursive=True, allow_not_found=True))
    images = {info.path.removeprefix(root).lstrip("/"): info.mtime_ns or 0 for info in found if info.is_file}
    rows = zip(plan.table["path"].to_pylist(), plan.table["image"].to_pylist(), strict=True)
    left = [images.get(image, -1) < modified[song] for song, image in rows]
    return replace(plan, table=plan.table.filter(pa.array(left, pa.bool_())), kept=left.count(False))


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # rendering reports the failure
        return 0
