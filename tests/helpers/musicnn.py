"""A small version of MSD_musicnn: its features, TensorFlow checkpoint and naive evaluation.

Its weights are random, since the real ones are not part of this project.
"""

import hashlib
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from raygenre.inputs.features import Features
from raygenre.model.classifier import Classifier
from raygenre.model.head import GenreHead, HeadConfig
from raygenre.pretrained import store
from raygenre.pretrained.conversion import network_from
from raygenre.pretrained.install import DATA, INDEX, LICENCE_FILE, TAGS
from raygenre.pretrained.network import TEMPORAL_FRAMES, TIMBRAL_BANDS, Dimensions
from raygenre.pretrained.store import About, Pretrained
from raygenre.pretrained.tensorflow_checkpoint import FLOAT, MAGIC

SMALL = Dimensions(timbral=6, temporal=3, middle=4, units=8, tags=len(TAGS))
LICENCE = "Permission to use, copy, modify, and/or distribute this software"

Variables = Mapping[str, NDArray[np.float32]]


def random_variables(dimensions: Dimensions = SMALL, *, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Return variables with TensorFlow's names and shapes. Some scales are negative, and one is zero."""
    random = np.random.default_rng(seed)
    front = [(7, bands, 1, dimensions.timbral) for bands in TIMBRAL_BANDS]
    front += [(frames, 1, 1, dimensions.temporal) for frames in TEMPORAL_FRAMES]
    middle = [(7, channels, 1, dimensions.middle) for channels in (dimensions.front, *[dimensions.middle] * 2)]
    dense = [(dimensions.features, dimensions.units), (dimensions.units, dimensions.tags)]
    shapes: dict[str, tuple[int, ...]] = {}
    shapes |= {_numbered("conv2d", number): shape for number, shape in enumerate([*front, *middle])}
    shapes |= {_numbered("dense", number): shape for number, shape in enumerate(dense)}
    variables = {}
    for name, shape in shapes.items():
        variables[f"{name}/kernel"] = random.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))
        variables[f"{name}/bias"] = 0.1 * random.standard_normal(shape[-1])
    channels = [1, *(shape[-1] for shape in [*front, *middle]), dimensions.features, dimensions.units]
    for number, size in enumerate(channels):
        name = _numbered("batch_normalization", number)
        gamma = random.standard_normal(size)
        gamma[-1] = 0.0 if size > 1 else gamma[-1]
        variables[f"{name}/gamma"] = gamma
        variables[f"{name}/beta"] = random.standard_normal(size)
        variables[f"{name}/moving_mean"] = 0.1 * random.standard_normal(size)
        variables[f"{name}/moving_variance"] = random.uniform(0.5, 2.0, size)
    return {name: values.astype(np.float32) for name, values in variables.items()}


def small_features(folder: Path, *, seed: int = 0) -> Features:
    """Store a small network with random weights in a new folder; return its features, for use as model input."""
    about = About(store.MODEL, "a test", "0" * 64, "ISC", LICENCE, TAGS, asdict(SMALL))
    store.save(Pretrained(network_from(random_variables(seed=seed)), about), folder)
    return Features(store.load(folder))


def small_head(kind: Features, genres: tuple[str, ...], *, seed: int = 0) -> Classifier:
    """Return an untrained classifier for a small network's features."""
    torch.manual_seed(seed)
    head = GenreHead(HeadConfig(genres=len(genres), features=kind.shape[0], dense=8)).eval()
    return Classifier(head, genres, input=kind)


def naive(variables: Variables, patches: Tensor) -> tuple[Tensor, Tensor]:
    """Return features and logits of patches (P, 187, 96), with the original network's layer order and array layouts."""
    numbers = {"conv2d": 0, "batch_normalization": 0, "dense": 0}

    def values(kind: str, variable: str) -> Tensor:
        return torch.tensor(variables[f"{_numbered(kind, numbers[kind])}/{variable}"]).double()

    def normalise(x: Tensor) -> Tensor:  # over the last axis
        scale = values("batch_normalization", "gamma")
        scale = scale / (values("batch_normalization", "moving_variance") + 1e-3).sqrt()
        x = (x - values("batch_normalization", "moving_mean")) * scale + values("batch_normalization", "beta")
        numbers["batch_normalization"] += 1
        return x

    def convolve(x: Tensor) -> Tensor:  # (P, H, W, 1) → (P, H', W', C), rectified and normalised
        kernel = values("conv2d", "kernel").permute(3, 2, 0, 1)
        y = F.conv2d(x.permute(0, 3, 1, 2), kernel, values("conv2d", "bias"))
        numbers["conv2d"] += 1
        return normalise(F.relu(y.permute(0, 2, 3, 1)))

    def dense(x: Tensor) -> Tensor:
        y = x @ values("dense", "kernel") + values("dense", "bias")
        numbers["dense"] += 1
        return y

    start = normalise(patches.double()[..., None])
    pads = [(3, 3)] * len(TIMBRAL_BANDS) + [((frames - 1) // 2, frames // 2) for frames in TEMPORAL_FRAMES]
    front = torch.cat([convolve(F.pad(start, (0, 0, 0, 0, *pad))).amax(dim=2) for pad in pads], dim=2)
    first = convolve(F.pad(front, (0, 0, 3, 3))[..., None])[:, :, 0]
    second = convolve(F.pad(first, (0, 0, 3, 3))[..., None])[:, :, 0] + first
    third = convolve(F.pad(second, (0, 0, 3, 3))[..., None])[:, :, 0] + second
    channels = torch.cat([front, first, second, third], dim=2)  # (P, T, C)
    features = torch.stack([channels.amax(dim=1), channels.mean(dim=1)], dim=2).flatten(1)
    hidden = normalise(F.relu(dense(normalise(features))))
    return features.float(), dense(hidden).float()


def checkpoint(variables: Variables, *, block_size: int = 4096, dtype: int = FLOAT) -> tuple[bytes, bytes]:
    """Return the contents of `.index` and `.data-00000-of-00001`, in TensorFlow's format."""
    data = b""
    entries = [(b"", _field(1, 1))]  # the header: one data file
    for name in sorted(variables):
        values = variables[name]
        shape = b"".join(_field(2, _field(1, size)) for size in values.shape)
        entry = _field(1, dtype) + _field(2, shape) + _field(4, len(data)) + _field(5, values.nbytes) + b"\x35crc!"
        entries.append((name.encode(), entry))
        data += values.astype("<f4").tobytes()
    return table(entries, block_size=block_size), data


def table(entries: list[tuple[bytes, bytes]], *, block_size: int = 4096, compression: int = 0) -> bytes:
    """Return sorted entries as a table in LevelDB's format; a block ends once it reaches `block_size` bytes."""
    written = b""
    index: list[tuple[bytes, bytes]] = []
    waiting: list[tuple[bytes, bytes]] = []
    for number, entry in enumerate(entries):
        waiting.append(entry)
        block = _block(waiting)
        if len(block) >= block_size or number == len(entries) - 1:
            index.append((entry[0], _varint(len(written)) + _varint(len(block))))
            written += block + bytes([compression]) + b"crc!"
            waiting = []
    handles = b""
    for block in (_block([]), _block(index)):  # the metaindex block and the index block
        handles += _varint(len(written)) + _varint(len(block))
        written += block + b"\0crc!"
    return written + handles.ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def wheel(folder: Path, variables: Variables | None = None, *, without: str = "") -> tuple[Path, str]:
    """Write a wheel of musicnn 0.1.0 with a small network, and return its path and SHA-256."""
    index, data = checkpoint(random_variables() if variables is None else variables)
    about = "Metadata-Version: 2.1\nName: musicnn\nVersion: 0.1.0\nRequires-Dist: tensorflow (>=1.14)\n"
    info = "musicnn-0.1.0.dist-info"
    files = {
        INDEX: index,
        DATA: data,
        LICENCE_FILE: LICENCE.encode(),
        "musicnn/__init__.py": b"raise RuntimeError('code from the wheel was executed')\n",
        f"{info}/METADATA": about.encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")).encode()
    path = folder / "musicnn-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            if name != without:
                archive.writestr(name, content)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def _block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """Return a block; every key but the first is stored without the prefix that it shares with the previous key."""
    block, previous = b"", b""
    for key, value in entries:
        shared = next(
            (i for i, (a, b) in enumerate(zip(key, previous, strict=False)) if a != b), min(len(key), len(previous))
        )
        block += _varint(shared) + _varint(len(key) - shared) + _varint(len(value)) + key[shared:] + value
        previous = key
    return block + struct.pack("<II", 0, 1)  # one restart point, at the first entry


def _field(number: int, value: int | bytes) -> bytes:
    """Return a field of a protocol buffer."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    parts = []
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _numbered(kind: str, number: int) -> str:
    return f"{kind}_{number}" if number else kind
