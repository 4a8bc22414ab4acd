"""Levels and images equal those of GTZAN's recipe; images convert back without loss.

The reference is librosa with a current matplotlib, used as GTZAN's author used it: melspectrogram with its defaults,
amplitude_to_db applied to the power, and specshow in a figure of 6×4 inches at 72 dpi, with subplot.bottom 0.125. The
mesh is not snapped to pixels, because only newer versions of matplotlib do that. Column 388, under the axes' right
edge, is not compared.
"""

import doctest
import importlib
import io
import struct
import zlib
from pathlib import Path

import matplotlib
import matplotlib.style
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from raygenre.audio.decoding import SAMPLE_RATE, AudioError, decode
from raygenre.audio.file_type import PNG_SIGNATURE
from raygenre.audio.synthesis import GENRES, synthesise
from raygenre.spectrogram.image import MAX_PNG_BYTES, ImageError, from_image, read_png, to_image, write_png
from raygenre.spectrogram.levels import HOP_LENGTH, N_MELS, LevelStream, levels, mel_filters
from tests.helpers.oracle import librosa
from tests.helpers.sounds import encode, noise, stereo, tone

CLIP = 661_794  # samples
HIDDEN = 388  # column
MAX_DIFFERING = 1e-4  # share of pixels that may differ because float32 rounding moves them to an adjacent level

Samples = NDArray[np.float32]
Pixels = NDArray[np.uint8]


def reference_image(samples: Samples) -> Pixels:
    """Return the reference image, (288, 432, 4)."""
    power = librosa().feature.melspectrogram(y=samples)
    decibels = librosa().amplitude_to_db(power, ref=np.max)
    buffer = io.BytesIO()
    with matplotlib.style.context("default"):
        figure = Figure(figsize=(6, 4), dpi=72)
        figure.subplots_adjust(bottom=0.125)
        mesh = librosa().display.specshow(decibels, ax=figure.add_subplot())
        mesh.set_snap(False)
        figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer))


def our_image(samples: Samples) -> Pixels:
    return np.asarray(to_image(levels(torch.from_numpy(samples), under_frame=True).numpy()))


def differing(a: Pixels, b: Pixels) -> float:
    """Return the share of pixels outside column 388 that differ."""
    return float(np.delete((a != b).any(axis=-1), HIDDEN, axis=1).mean())


def sound(name: str, length: int) -> Samples:
    """Return `length` samples of the named test sound."""
    random = np.random.default_rng(7)
    hiss = random.standard_normal(length)
    time = np.arange(length) / SAMPLE_RATE
    if name == "tones":
        values = sum(0.2 * np.sin(2 * np.pi * hertz * time) for hertz in (110, 440, 3000)) + 0.001 * hiss
    elif name == "pure tone":
        values = 0.5 * np.sin(2 * np.pi * 1000 * time)
    elif name == "clicks":
        values = np.zeros(length)
        values[:: SAMPLE_RATE // 2] = 1
    elif name == "noise":
        values = 0.1 * hiss
    elif name == "chirp":
        values = 0.5 * np.sin(2 * np.pi * (50 + 160 * time) * time)
    elif name == "clipping":
        values = np.clip(4 * np.sin(2 * np.pi * 220 * time) * np.sin(2 * np.pi * 0.3 * time) + 0.05 * hiss, -1, 1)
    elif name == "offset":
        values = 0.5 + 0.05 * hiss * np.exp(-5 * (time % 1))
    elif name == "half silent":
        values = np.where(time < 15, 0.2 * hiss, 0)
    else:
        values = np.zeros(length)
    return np.asarray(values, dtype=np.float32)


SOUNDS = ("tones", "pure tone", "clicks", "noise", "chirp", "clipping", "offset", "half silent", "silence")


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 700_000), st.lists(st.integers(0, 700_000), max_size=5))
def test_levels_of_a_stream_are_those_of_the_clip(length: int, cuts: list[int]) -> None:
    clip = torch.from_numpy(noise(seconds=length / SAMPLE_RATE, seed=length))
    stream = LevelStream()
    for cut in sorted(cuts):
        stream.add(clip[:cut])
    assert torch.equal(stream.finish(clip), levels(clip))


@pytest.mark.parametrize("name", SOUNDS)
def test_image_equals_that_of_librosa_and_matplotlib(name: str) -> None:
    samples = sound(name, CLIP)
    assert differing(our_image(samples), reference_image(samples)) <= MAX_DIFFERING


# These include GTZAN's shortest and longest clips, exactly 30.0 s and 31 s, and a clip with fewer frames than columns.
LENGTHS = (660_000, 661_500, 665_280, 669_240, 674_730, 675_808, 683_550, 66_150)  # samples


@pytest.mark.parametrize("length", LENGTHS)
def test_image_of_clips_of_any_length(length: int) -> None:
    samples = sound("clipping", length)
    assert differing(our_image(samples), reference_image(samples)) <= MAX_DIFFERING


@pytest.mark.slow
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", SOUNDS)
def test_image_of_every_sound_and_length(name: str, length: int) -> None:
    samples = sound(name, length)
    assert differing(our_image(samples), reference_image(samples)) <= MAX_DIFFERING


# librosa imports audioread, which imports modules that Python 3.13 removed.
@pytest.mark.filterwarnings("ignore:'(aifc|audioop|sunau)' is deprecated:DeprecationWarning")
@pytest.mark.parametrize(("rate", "silent"), [(22_050, "right"), (44_100, "neither"), (44_100, "left")])
def test_image_of_a_decoded_file(rate: int, silent: str, tmp_path: Path) -> None:
    channels = [noise(seconds=30, seed=seed, rate=rate) + tone(440, seconds=30, rate=rate) for seed in (0, 1)]
    if silent != "neither":
        channels[("left", "right").index(silent)][:] = 0
    path = tmp_path / "song.wav"
    path.write_bytes(encode(stereo(*channels), "wav", "pcm_s16le", rate=rate))
    theirs, _ = librosa().load(path, sr=SAMPLE_RATE, mono=True)
    assert differing(our_image(decode(path)), reference_image(theirs)) <= MAX_DIFFERING


def test_comparison_detects_a_shift_by_one_frame() -> None:
    samples = sound("noise", CLIP)
    shifted = np.roll(samples, HOP_LENGTH)
    assert differing(our_image(shifted), reference_image(samples)) > 0.3


def test_silence_is_level_0() -> None:
    assert levels(torch.zeros(CLIP)).max() == 0


@pytest.mark.parametrize("name", ["silence", "pure tone", "chirp"])
def test_frame_equals_matplotlibs_to_the_pixel(name: str) -> None:
    samples = sound(name, CLIP)
    ours, theirs = our_image(samples), reference_image(samples)
    for rows, columns in ((35, slice(54, 388)), (252, slice(54, 388)), (slice(35, 253), 54), (slice(35, 253), 389)):
        np.testing.assert_array_equal(ours[rows, columns], theirs[rows, columns])


def test_levels_span_the_whole_scale() -> None:
    spectrogram = levels(torch.from_numpy(sound("tones", CLIP)))
    assert spectrogram.dtype == torch.uint8
    assert spectrogram.shape == (128, 333)
    assert spectrogram.min() == 0
    assert spectrogram.max() == 255


def test_under_frame_adds_one_column_at_each_side() -> None:
    samples = torch.from_numpy(sound("chirp", CLIP))
    wide = levels(samples, under_frame=True)
    assert wide.shape == (128, 335)
    torch.testing.assert_close(wide[:, 1:-1], levels(samples), rtol=0, atol=0)


def test_mel_filters_equal_librosas() -> None:
    theirs = librosa().filters.mel(sr=22_050, n_fft=2048, n_mels=128)
    np.testing.assert_allclose(mel_filters(), theirs, rtol=0, atol=1e-7)


@pytest.mark.parametrize("band", [2, 17, 40, 77, 101, 127])
def test_tone_is_loudest_in_its_band(band: int) -> None:
    centre = librosa().mel_frequencies(n_mels=130, fmin=0, fmax=11_025)[band + 1]  # Hz
    middle = levels(torch.from_numpy(tone(centre, seconds=10)))[:, 20:-20].float().mean(dim=1)
    assert int(middle.argmax()) == band


@pytest.mark.parametrize("second", [1.0, 11.0, 15.0, 29.0])
def test_burst_is_loudest_in_its_columns(second: float) -> None:
    samples = noise(seconds=30, seed=0, loudness=1e-3)
    burst = noise(seconds=0.5, seed=1)
    start = round((second - 0.25) * SAMPLE_RATE)
    samples[start : start + len(burst)] = burst
    loud = np.flatnonzero(levels(torch.from_numpy(samples)).float().mean(dim=0) > 150)
    # The axes show 30 s and are 334.8 pixels wide. The first of the 333 columns is the second pixel of the axes. Each
    # pixel shows the last frame within its time span.
    assert loud.mean() == pytest.approx(second / 30 * 334.8 - 2, abs=1)
    assert len(loud) == pytest.approx(0.5 / 30 * 334.8, abs=2)


def test_batch_and_single_clips_have_equal_levels() -> None:
    clips = torch.from_numpy(np.stack([noise(seconds=1.5, seed=seed) for seed in range(16)]))
    clips[7] = torch.from_numpy(tone(440, seconds=1.5))
    batch = levels(clips)
    assert batch.shape == (16, 128, 333)
    for number in (0, 7, 15):
        assert torch.equal(levels(clips[number]), batch[number])
        assert torch.equal(levels(clips[number : number + 1])[0], batch[number])
    assert len({clip.numpy().tobytes() for clip in batch}) == 16


@pytest.mark.parametrize("name", ["noise", "chirp", "half silent"])
def test_number_of_threads_changes_nothing(name: str) -> None:
    samples = torch.from_numpy(sound(name, CLIP))
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(levels(samples))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


def assert_within_one_level(a: torch.Tensor, b: torch.Tensor) -> None:
    steps = (a.int() - b.int()).abs()
    assert (steps <= 1).float().mean() >= 0.9999
    assert (steps == 0).float().mean() >= 0.99


MINUS_12_DB = 10 ** (-12 / 20)


# Clicks and sounds that fade into silence are excluded, because amplitude_to_db replaces powers below 1e-5 with 1e-5.
@pytest.mark.parametrize("gain", [0.1, 0.9])
@pytest.mark.parametrize("name", ["tones", "noise", "chirp", "clipping", "offset"])
def test_gain_does_not_change_levels(name: str, gain: float) -> None:
    samples = torch.from_numpy(sound(name, CLIP))
    assert_within_one_level(levels(samples), levels(samples * gain))


@pytest.mark.parametrize("genre", sorted(GENRES)[::4])
def test_gain_does_not_change_levels_of_music(genre: str) -> None:
    samples = torch.from_numpy(synthesise(genre, seed=0))
    assert_within_one_level(levels(samples), levels(samples * MINUS_12_DB))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("name", SOUNDS)
def test_gpu_computes_the_same_levels(name: str) -> None:
    samples = torch.from_numpy(np.stack([sound(name, CLIP), sound("noise", CLIP)]))
    on_gpu = levels(samples.cuda())
    assert on_gpu.device.type == "cuda"
    assert_within_one_level(on_gpu.cpu(), levels(samples))


@pytest.mark.parametrize(
    "samples",
    [
        torch.zeros(CLIP, dtype=torch.float64),
        torch.zeros(CLIP, dtype=torch.int16),
        torch.zeros(2, 2, CLIP),
        torch.zeros(()),
        torch.zeros(0),
        torch.zeros(3, 0),
    ],
)
def test_samples_of_wrong_shape_or_type_are_rejected(samples: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"float32 \(N,\) or \(B, N\)"):
        levels(samples)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("shape", [(22_050,), (3, 22_050)])
def test_samples_that_are_not_finite_are_rejected(shape: tuple[int, ...], value: float) -> None:
    samples = torch.zeros(shape)
    samples[..., 1000] = value
    with pytest.raises(ValueError, match="finite"):
        levels(samples)


def random_levels(seed: int, *, columns: int = 333) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (N_MELS, columns), dtype=np.uint8)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), columns=st.sampled_from([333, 335]), darkest=st.integers(0, 255))
def test_image_converts_back_without_loss(seed: int, columns: int, darkest: int) -> None:
    original = random_levels(seed, columns=columns).clip(min=darkest)
    np.testing.assert_array_equal(from_image(to_image(original)), original[:, (columns - 333) // 2 :][:, :333])


@pytest.mark.parametrize("columns", [333, 335])
def test_png_converts_back_without_loss(columns: int, tmp_path: Path) -> None:
    original = random_levels(3, columns=columns)
    inner = original[:, (columns - 333) // 2 :][:, :333]
    png = write_png(original)
    path = tmp_path / "image.png"
    path.write_bytes(png)
    np.testing.assert_array_equal(read_png(png), inner)
    np.testing.assert_array_equal(read_png(path), inner)


def test_image_without_alpha_is_accepted() -> None:
    original = random_levels(4)
    image = to_image(original)
    assert image.mode == "RGBA"
    np.testing.assert_array_equal(from_image(image.convert("RGB")), original)


def test_image_by_matplotlib_is_accepted() -> None:
    samples = sound("chirp", CLIP)
    read = from_image(Image.fromarray(reference_image(samples)))
    assert (read != levels(torch.from_numpy(samples)).numpy()).mean() <= MAX_DIFFERING


def test_frame_and_margin_are_ignored() -> None:
    original = random_levels(5)
    pixels = np.array(to_image(original))
    pixels[:36] = pixels[252:] = pixels[:, :55] = pixels[:, 388:] = 0
    np.testing.assert_array_equal(from_image(Image.fromarray(pixels)), original)


@pytest.mark.parametrize("pixel", [(36, 55), (36, 387), (251, 55), (251, 387), (140, 200)])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_pixel_of_another_colour_is_rejected(pixel: tuple[int, int], channel: int) -> None:
    pixels = np.array(to_image(random_levels(6)))
    pixels[*pixel, channel] ^= 1
    with pytest.raises(ImageError, match="colours"):
        from_image(Image.fromarray(pixels))


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((128, 333), dtype=np.float32),
        np.zeros((128, 335), dtype=np.int64),
        np.zeros((333, 128), dtype=np.uint8),
        np.zeros((128, 334), dtype=np.uint8),
        np.zeros((1, 128, 333), dtype=np.uint8),
    ],
)
def test_levels_of_wrong_shape_or_type_are_rejected(wrong: Pixels) -> None:
    with pytest.raises(ValueError, match="levels must be uint8"):
        to_image(wrong)


def as_jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="JPEG", quality=95)
    return Image.open(buffer)


def as_viridis(image: Image.Image) -> Image.Image:
    return Image.fromarray(matplotlib.colormaps["viridis"](np.asarray(image.convert("L")), bytes=True))


def transparent(image: Image.Image) -> Image.Image:
    pixels = np.array(image)
    pixels[200, 300, 3] = 254
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (to_image(random_levels(8)).resize((433, 288)), "433×288"),
        (to_image(random_levels(8)).transpose(Image.Transpose.ROTATE_90), "288×432"),
        (to_image(random_levels(8)).convert("L"), "mode is L"),
        (to_image(random_levels(8)).convert("P"), "mode is P"),
        (transparent(to_image(random_levels(8))), "transparent"),
        (as_jpeg(to_image(random_levels(8))), "colours"),
        (as_viridis(to_image(random_levels(8))), "colours"),
        (to_image(random_levels(8)).transpose(Image.Transpose.FLIP_TOP_BOTTOM), "colours"),
        (Image.new("RGBA", (432, 288), "white"), "colours"),
    ],
)
def test_images_that_are_not_spectrograms_are_rejected(image: Image.Image, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        from_image(image)


def jpeg_file() -> bytes:
    buffer = io.BytesIO()
    to_image(random_levels(9)).convert("RGB").save(buffer, format="JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize("data", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", bytes(1000), jpeg_file()])
def test_files_that_are_not_png_are_rejected(data: bytes) -> None:
    with pytest.raises(ImageError):
        read_png(data)


def test_truncated_png_is_rejected() -> None:
    png = write_png(random_levels(10))
    trailer = 12 + 4 + 4  # bytes: the end chunk and two checksums, which Pillow does not need
    for length in [*range(0, 200, 7), *range(200, len(png) - trailer - 10, 997), len(png) - trailer - 10]:
        with pytest.raises(ImageError):
            read_png(png[:length])


def test_damaged_png_is_rejected() -> None:
    png = bytearray(write_png(random_levels(11)))
    png[len(png) // 2] ^= 255
    with pytest.raises(ImageError):
        read_png(bytes(png))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))


def png_file(width: int, height: int, pixels: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + header(width, height) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


# The pixels are not a zlib stream, so decompressing them would raise a different error.
@pytest.mark.parametrize(("width", "height"), [(5000, 5000), (433, 288), (432, 289), (1, 1)])
def test_image_of_another_size_is_not_decompressed(width: int, height: int) -> None:
    with pytest.raises(ImageError, match=f"the image is {width}×{height} pixels"):
        read_png(png_file(width, height, b"not pixels"))


@pytest.mark.parametrize("size", [50_000, 2**31 - 1])
def test_decompression_bomb_is_rejected(size: int) -> None:
    with pytest.raises(ImageError, match="432×288"):
        read_png(png_file(size, size, b"not pixels"))


# By default, Pillow decompresses images of the first size, warns about the second, and rejects the third.
@pytest.mark.parametrize("size", [6000, 10_000, 50_000])
@pytest.mark.parametrize("order", ["a comment first", "a second header", "a second header after the pixels"])
def test_image_with_a_misplaced_size_is_not_decompressed(
    size: int, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decompressed: list[tuple[int, int]] = []
    prepare = PngImageFile.load_prepare

    def record_size(image: PngImageFile) -> None:
        decompressed.append(image.size)
        prepare(image)

    monkeypatch.setattr(PngImageFile, "load_prepare", record_size)
    good, bad = header(432, 288), header(size, size)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    chunks = {
        "a comment first": chunk(b"tEXt", b"Title\0x") + bad + pixels,
        "a second header": good + bad + pixels,
        "a second header after the pixels": good + pixels + bad,
    }
    with pytest.raises(ImageError):
        read_png(b"\x89PNG\r\n\x1a\n" + chunks[order] + chunk(b"IEND", b""))
    assert set(decompressed) <= {(432, 288)}


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_png(tmp_path / "nowhere.png")


def test_png_with_a_late_empty_colour_profile_is_rejected() -> None:
    png = write_png(np.zeros((128, 333), dtype=np.uint8))
    with pytest.raises(ImageError, match="damaged"):
        read_png(png[:-12] + chunk(b"iCCP", b"") + png[-12:])


def test_a_png_far_larger_than_a_spectrogram_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    for size, reason in ((MAX_PNG_BYTES, "damaged"), (MAX_PNG_BYTES + 1, "larger than 4 MB")):
        data = PNG_SIGNATURE + bytes(size - len(PNG_SIGNATURE))
        path.write_bytes(data)
        for source in (data, path):
            with pytest.raises(ImageError, match=reason):
                read_png(source)


def test_png_of_100_megapixels_is_rejected_without_warning() -> None:
    with pytest.raises(ImageError):
        read_png(png_file(10_000, 10_000, b"x"))


def test_samples_far_beyond_full_scale_are_rejected() -> None:
    with pytest.raises(AudioError, match="within ±100000"):
        levels(torch.from_numpy(noise(seconds=3, seed=0)) * 1e10)  # as in a float WAV scaled like 32-bit integers


def test_examples_in_docstrings() -> None:
    failed, attempted = doctest.testmod(importlib.import_module("raygenre.spectrogram.levels"))
    assert attempted
    assert not failed
