"""Compares ways to evaluate MSD_musicnn: speed, and agreement with the TensorFlow original.

Run from the project's folder, after `raygenre pretrained install`:
    python benchmarks/pretrained.py                          # times on a synthetic clip of 30 s, 2 minutes
    python benchmarks/pretrained.py --data PATH --reference PATH     # also agreement: FLAC clips, and the original's
                                                                     # values for them in reference.npz and tags.json
    python benchmarks/pretrained.py --memory 10              # also memory over a recording of ten hours, minutes more

Times are for the network alone on one thread, without decoding or spectrograms. The methods alternate, and the table
shows the shortest and the median time. CPU time of the process is measured, so other programs have little effect. To
use at most AVX2, set ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2.

- direct: each convolution as torch's conv2d, normalised and then pooled, as in the original.
- direct, one by one: the same, one patch at a time.
- direct, pooled first: one patch at a time, pooled before being rectified and normalised.
- unfolded: what raygenre does (`raygenre/pretrained/network.py`): matrix products over windows of frames.
- FFT: the two wide kernels by two-dimensional FFTs, the rest unfolded.
- bfloat16: unfolded, in bfloat16; only on processors with bfloat16 instructions.

In the reference, the shape of `CLIP/tags` is (patches, 50). The shape of `CLIP/max` and `CLIP/mean`, which are the
features before the dense layer, is (patches, 753). Differences are also reported in standard deviations of the
reference values.
"""

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # before numpy

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from benchmarks.levels import resident
from raygenre.audio.blocks import blocks
from raygenre.audio.encoding import encode
from raygenre.audio.synthesis import SAMPLE_RATE as SYNTHETIC_RATE
from raygenre.audio.synthesis import synthesise
from raygenre.model.precision import has_fast_bfloat16
from raygenre.pretrained import log_mel
from raygenre.pretrained.features import Extractor
from raygenre.pretrained.network import TIMBRAL_FRAMES, Dimensions, MusicNetwork, PooledConvolution
from raygenre.pretrained.store import Pretrained, load

Way = Callable[[PooledConvolution, Tensor], Tensor]
FFT_CHANNELS = 12  # transformed together; few enough to stay in the cache


def main(
    data: Annotated[Path | None, typer.Option(help="Folder of FLAC clips that the reference names.")] = None,
    reference: Annotated[Path | None, typer.Option(help="Folder with reference.npz and tags.json.")] = None,
    repeats: Annotated[int, typer.Option(help="Number of measurements of each way.")] = 7,
    memory: Annotated[float, typer.Option(help="Hours of audio for the memory measurement; 0: none.")] = 0.0,
) -> None:
    """Measure seconds per clip, agreement with the original, and memory."""
    torch.set_num_threads(1)
    console = Console()
    pretrained = load()
    if data and reference:
        for table in agreement(pretrained, data, reference):
            console.print(table)
    console.print(speed(pretrained.network, repeats))
    if memory:
        console.print(streaming(memory))


def speed(network: MusicNetwork, repeats: int) -> Table:
    """Return a table of the seconds per clip for the network and for each part of its front end."""
    encoded = encode(synthesise("bells", seed=0), "wav", "pcm_s16le", rate=SYNTHETIC_RATE)
    patches = torch.stack(list(log_mel.patches(blocks(encoded, rate=log_mel.SAMPLE_RATE))))
    ways: dict[str, Callable[[], Tensor]] = {
        "direct": partial(evaluate, network, direct, patches, together=len(patches)),
        "direct, one by one": partial(evaluate, network, direct, patches),
        "direct, pooled first": partial(evaluate, network, pooled_first, patches),
        "FFT": partial(evaluate, network, by_fft, patches),
        "unfolded": lambda: network(patches).logits,
    }
    if has_fast_bfloat16(torch.device("cpu")):
        ways["unfolded, bfloat16"] = lambda: network(patches, bfloat16=True).logits
    answers = {way: compute().sigmoid().mean(dim=0) for way, compute in ways.items()}  # also warms up
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, compute in ways.items():
            started = time.process_time()
            compute()
            times[way].append(time.process_time() - started)
    title = f"{len(patches)} patches, one thread, {torch.backends.cpu.get_cpu_capability()}, {repeats} repetitions"
    table = Table("way", "fastest, s", "median, s", "speedup", "largest difference of a tag", title=title)
    base = min(times["direct"])
    for way, seconds in times.items():
        difference = (answers[way] - answers["direct"]).abs().max().item()
        fastest, median = min(seconds), statistics.median(seconds)
        table.add_row(way, f"{fastest:.3f}", f"{median:.3f}", f"{base / fastest:.1f}", f"{difference:.0e}")
    return table


@torch.inference_mode()
def evaluate(network: MusicNetwork, way: Way, patches: Tensor, *, together: int = 1) -> Tensor:
    """Return the logits for patches, with the front end's convolutions computed in the given way."""
    features = []
    for part in patches.split(together):
        normalised = network.input(part.reshape(len(part), 1, -1)).view_as(part)
        front = torch.cat([way(layer, normalised) for layer in network.front], dim=1)  # type: ignore[arg-type]
        features.append(network.pool_over_time(front))
    return network.logits(torch.cat(features))


def direct(layer: PooledConvolution, patches: Tensor) -> Tensor:
    """Compute a layer (P, T, M) → (P, C, T) as in the original."""
    assert layer.convolution.bias is not None
    spread = F.relu(convolved(layer, patches, layer.convolution.weight) + layer.convolution.bias[:, None, None])
    normalised: Tensor = layer.normalisation(spread.flatten(2))
    return normalised.view_as(spread).amax(dim=-1)


def pooled_first(layer: PooledConvolution, patches: Tensor) -> Tensor:
    """Compute a layer (P, T, M) → (P, C, T), pooling before rectification and normalisation."""
    signs = torch.where(layer.normalisation.weight < 0, -1.0, 1.0)
    spread = convolved(layer, patches, layer.convolution.weight * signs[:, None, None, None])
    return layer.completed(spread.amax(dim=-1), signs)


def by_fft(layer: PooledConvolution, patches: Tensor) -> Tensor:
    """Compute a layer (P, T, M) → (P, C, T) with FFTs if its kernels are wide; for long kernels, FFTs are slower."""
    if layer.bands == 1:
        return layer.forward(patches)
    size = (200, log_mel.BANDS)  # a length for which FFTs are fast, with room for the kernel
    signs = torch.where(layer.normalisation.weight < 0, -1.0, 1.0)
    kernels = (layer.convolution.weight[:, 0] * signs[:, None, None]).flip(1, 2)
    transformed = torch.fft.rfft2(patches, s=size)
    first = TIMBRAL_FRAMES // 2
    largest = []
    for part in kernels.split(FFT_CHANNELS):
        spread = torch.fft.irfft2(transformed[:, None] * torch.fft.rfft2(part, s=size), s=size)
        largest.append(spread[:, :, first : first + log_mel.FRAMES, layer.bands - 1 :].amax(dim=-1))
    return layer.completed(torch.cat(largest, dim=1), signs)


def convolved(layer: PooledConvolution, patches: Tensor, kernels: Tensor) -> Tensor:
    """Convolve padded patches with kernels, without bias: (P, T, M) → (P, C, T, positions)."""
    padded = F.pad(patches, (0, 0, (layer.frames - 1) // 2, layer.frames // 2))
    return F.conv2d(padded[:, None], kernels)


def agreement(pretrained: Pretrained, data: Path, reference: Path) -> Iterator[Table]:
    """Yield three tables: the largest differences by layer, the tags of each clip, and the effect of fewer patches."""
    stored = np.load(reference / "reference.npz")
    about = json.loads((reference / "tags.json").read_text())
    assert tuple(about["tags"]) == pretrained.about.tags
    bfloat16 = "averaged tags, bfloat16"
    names = ["max", "mean", "tags", *[bfloat16] * has_fast_bfloat16(torch.device("cpu"))]
    layers = {layer: Layer(layer) for layer in names}
    fewer = Fewer()
    answers = Table("clip", "three best tags", "its genre's place", title="Tags, averaged over patches")
    named = within = 0
    for name in sorted({key.split("/")[0] for key in stored}):
        patches = torch.stack(list(log_mel.patches(blocks(data / f"{name}.flac", rate=log_mel.SAMPLE_RATE))))
        output = pretrained.network(patches)
        pooled = output.features.unflatten(1, (-1, 2)).numpy()  # (P, 753, 2)
        values = {"max": pooled[..., 0], "mean": pooled[..., 1], "tags": output.logits.sigmoid().numpy()}
        for layer, value in values.items():
            layers[layer].add(name, value, stored[f"{name}/{layer}"])
        if bfloat16 in layers:
            shares = pretrained.network(patches, bfloat16=True).logits.sigmoid().mean(dim=0).numpy()
            layers[bfloat16].add(name, shares, stored[f"{name}/tags"].mean(axis=0))
        fewer.add(values["tags"])
        ranked = [about["tags"][tag] for tag in values["tags"].mean(axis=0).argsort()[::-1]]
        genre = {"hiphop": "Hip-Hop"}.get(name.split(".")[0], name.split(".")[0])
        place = str(ranked.index(genre) + 1) if genre in ranked else "no such tag"
        named += genre in ranked
        within += genre in ranked[:3]
        answers.add_row(name, ", ".join(ranked[:3]), place)
    table = Table("layer", "largest difference", "in standard deviations", "largest value", "clip", title="Agreement")
    for difference in layers.values():
        table.add_row(*difference.row())
    yield table
    answers.caption = f"{within} of {named} clips whose genre is a tag have it among the first three"
    yield answers
    yield fewer.table()


class Fewer:
    """Records how much the clips' tags change if only some evenly spaced patches are used."""

    def __init__(self) -> None:
        self._changes: dict[int, list[tuple[float, int]]] = {count: [] for count in (5, 3)}

    def add(self, tags: NDArray[np.float32]) -> None:
        """Add a clip's tags, (P, 50)."""
        whole = tags.mean(axis=0)
        for count, changes in self._changes.items():
            part = tags[np.linspace(0, len(tags) - 1, count).round().astype(int)].mean(axis=0)
            kept = len(set(part.argsort()[-3:].tolist()) & set(whole.argsort()[-3:].tolist()))
            changes.append((float(np.abs(part - whole).max()), kept))

    def table(self) -> Table:
        columns = ("patches", "largest change of a tag: median clip", "of all clips", "of three best tags, kept")
        table = Table(*columns, title="Fewer patches than the ten of a clip")
        for count, changes in self._changes.items():
            largest = [change for change, _ in changes]
            kept = statistics.mean(number for _, number in changes)
            table.add_row(str(count), f"{statistics.median(largest):.3f}", f"{max(largest):.3f}", f"{kept:.1f}")
        return table


class Layer:
    """Finds the largest difference between a layer and its reference over all clips."""

    def __init__(self, name: str) -> None:
        self._name, self._clip = name, ""
        self._difference = self._largest = 0.0
        self._values: list[NDArray[np.float32]] = []

    def add(self, clip: str, ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
        assert ours.shape == theirs.shape
        difference = float(np.abs(ours - theirs).max())
        if difference > self._difference:
            self._difference, self._clip = difference, clip
        self._largest = max(self._largest, float(np.abs(theirs).max()))
        self._values.append(theirs)

    def row(self) -> list[str]:
        deviation = float(np.concatenate(self._values).std())
        difference = [f"{self._difference:.1e}", f"{self._difference / deviation:.1e}"]
        return [self._name, *difference, f"{self._largest:.1f}", self._clip]


def streaming(hours: float) -> Table:
    """Return a table of this process's memory while a network processes a long recording.

    To save time, the network has two channels of each kind and random weights. With the real network, the means over
    windows require another 0.7 MB per hour of audio.
    """
    table = Table("hours", "resident memory, MiB", title=f"Samples of {hours:g} hours to features")
    block = synthesise("bells", seed=0)  # 30 s at 22 050 Hz; treated as 41 s at 16 kHz
    total = round(hours * 3600 * log_mel.SAMPLE_RATE / len(block))
    marks = {round(total * share): share * hours for share in (0.1, 0.5, 1.0)}

    def samples() -> Iterator[NDArray[np.float32]]:
        for number in range(1, total + 1):
            yield block
            if number in marks:
                table.add_row(f"{marks[number]:g}", f"{resident():.0f}")

    Extractor(MusicNetwork(Dimensions(2, 2, 2, 2, 2))).from_blocks(samples())
    return table


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
