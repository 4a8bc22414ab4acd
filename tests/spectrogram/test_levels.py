"""Pictures are drawn as the dataset's were, and read back without loss.

The oracle is librosa and today's matplotlib, drawing as the dataset's author did: melspectrogram
with its defaults, amplitude_to_db of the power, specshow at 6×4 in and 72 dpi with subplot.bottom 0.125. Its mesh is
not snapped to pixels, which only newer versions of matplotlib do. Column 388, under the axes' right edge, is left out.
"""

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

from raygenre.audio.decoding import SAMPLE_RATE, decode
from raygenre.audio.synthesis import GENRES, synthesise
from raygenre.spectrogram.image import PictureError, from_image, read_png, to_image, write_png
from raygenre.spectrogram.levels import HOP_LENGTH, N_MELS, levels, mel_filters
from tests.helpers.oracle import librosa
from tests.helpers.sounds import encode, noise, stereo, tone

CLIP = 661_794  # samples
HIDDEN = 388  # column
MOST_DIFFERENT = 1e-4  # share of pixels: a float32 rounding that falls on the border of two levels

Samples = NDArray[np.float32]
Picture = NDArray[np.uint8]


def drawn_by_matplotlib(samples: Samples) -> Picture:
    """The oracle: (288, 432, 4)."""
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


def drawn(samples: Samples) -> Picture:
    return np.asarray(to_image(levels(torch.from_numpy(samples), under_frame=True).numpy()))


def differing(one: Picture, other: Picture) -> float:
    """Share of the pixels outside column 388 that differ."""
    return float(np.delete((one != other).any(axis=-1), HIDDEN, axis=1).mean())


def sound(name: str, length: int) -> Samples:
    """One of the test sounds, `length` samples of it."""
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


@pytest.mark.parametrize("name", SOUNDS)
def test_picture_is_librosas_and_matplotlibs(name: str) -> None:
    samples = sound(name, CLIP)
    assert differing(drawn(samples), drawn_by_matplotlib(samples)) <= MOST_DIFFERENT


# The shortest and longest of GTZAN's clips, 30.0 s exactly, 31 s, and one too short for a frame for each column.
LENGTHS = (660_000, 661_500, 665_280, 669_240, 674_730, 675_808, 683_550, 66_150)  # samples


@pytest.mark.parametrize("length", LENGTHS)
def test_picture_of_any_length(length: int) -> None:
    samples = sound("clipping", length)
    assert differing(drawn(samples), drawn_by_matplotlib(samples)) <= MOST_DIFFERENT


@pytest.mark.slow
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", SOUNDS)
def test_picture_of_any_sound_and_length(name: str, length: int) -> None:
    samples = sound(name, length)
    assert differing(drawn(samples), drawn_by_matplotlib(samples)) <= MOST_DIFFERENT


# audioread, which librosa imports, imports modules that Python 3.13 does without.
@pytest.mark.filterwarnings("ignore:'(aifc|audioop|sunau)' is deprecated:DeprecationWarning")
@pytest.mark.parametrize(("rate", "silent"), [(22_050, "right"), (44_100, "neither"), (44_100, "left")])
def test_picture_of_a_file(rate: int, silent: str, tmp_path: Path) -> None:
    sides = [noise(seconds=30, seed=seed, rate=rate) + tone(440, seconds=30, rate=rate) for seed in (0, 1)]
    if silent != "neither":
        sides[("left", "right").index(silent)][:] = 0
    path = tmp_path / "song.wav"
    path.write_bytes(encode(stereo(*sides), "wav", "pcm_s16le", rate=rate))
    theirs, _ = librosa().load(path, sr=SAMPLE_RATE, mono=True)
    assert differing(drawn(decode(path)), drawn_by_matplotlib(theirs)) <= MOST_DIFFERENT


def test_comparison_notices_a_shift_by_one_frame() -> None:
    samples = sound("noise", CLIP)
    shifted = np.roll(samples, HOP_LENGTH)
    assert differing(drawn(shifted), drawn_by_matplotlib(samples)) > 0.3


def test_silence_is_level_0() -> None:
    assert levels(torch.zeros(CLIP)).max() == 0


@pytest.mark.parametrize("name", ["silence", "pure tone", "chirp"])
def test_frame_is_matplotlibs_to_the_pixel(name: str) -> None:
    samples = sound(name, CLIP)
    ours, theirs = drawn(samples), drawn_by_matplotlib(samples)
    for rows, columns in ((35, slice(54, 388)), (252, slice(54, 388)), (slice(35, 253), 54), (slice(35, 253), 389)):
        np.testing.assert_array_equal(ours[rows, columns], theirs[rows, columns])


def test_levels_span_the_scale() -> None:
    found = levels(torch.from_numpy(sound("tones", CLIP)))
    assert found.dtype == torch.uint8
    assert found.shape == (128, 333)
    assert found.min() == 0
    assert found.max() == 255


def test_columns_under_the_frame_are_the_outer_ones() -> None:
    samples = torch.from_numpy(sound("chirp", CLIP))
    wide = levels(samples, under_frame=True)
    assert wide.shape == (128, 335)
    torch.testing.assert_close(wide[:, 1:-1], levels(samples), rtol=0, atol=0)


def test_mel_filters_are_librosas() -> None:
    theirs = librosa().filters.mel(sr=22_050, n_fft=2048, n_mels=128)
    np.testing.assert_allclose(mel_filters(), theirs, rtol=0, atol=1e-7)


@pytest.mark.parametrize("band", [2, 17, 40, 77, 101, 127])
def test_tone_lights_its_band(band: int) -> None:
    centre = librosa().mel_frequencies(n_mels=130, fmin=0, fmax=11_025)[band + 1]  # Hz
    found = levels(torch.from_numpy(tone(centre, seconds=10)))
    middle = found[:, 20:-20].float().mean(dim=1)
    assert int(middle.argmax()) == band


@pytest.mark.parametrize("second", [1.0, 11.0, 15.0, 29.0])
def test_burst_lights_its_columns(second: float) -> None:
    samples = noise(seconds=30, seed=0, loudness=1e-3)
    burst = noise(seconds=0.5, seed=1)
    start = round((second - 0.25) * SAMPLE_RATE)
    samples[start : start + len(burst)] = burst
    lit = np.flatnonzero(levels(torch.from_numpy(samples)).float().mean(dim=0) > 150)
    # The axes' 334.8 pixels show the 30 s, the first of the 333 columns is their second, and a pixel shows its end.
    assert lit.mean() == pytest.approx(second / 30 * 334.8 - 2, abs=1)
    assert len(lit) == pytest.approx(0.5 / 30 * 334.8, abs=2)


def test_batch_and_single_clips_are_equal() -> None:
    clips = torch.from_numpy(np.stack([noise(seconds=1.5, seed=seed) for seed in range(16)]))
    clips[7] = torch.from_numpy(tone(440, seconds=1.5))
    together = levels(clips)
    assert together.shape == (16, 128, 333)
    for number in (0, 7, 15):
        assert torch.equal(levels(clips[number]), together[number])
        assert torch.equal(levels(clips[number : number + 1])[0], together[number])
    assert len({found.numpy().tobytes() for found in together}) == 16


@pytest.mark.parametrize("name", ["noise", "chirp", "half silent"])
def test_number_of_threads_changes_nothing(name: str) -> None:
    samples = torch.from_numpy(sound(name, CLIP))
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(levels(samples))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def assert_within_one_level(one: torch.Tensor, other: torch.Tensor) -> None:
    steps = (one.int() - other.int()).abs()
    assert (steps <= 1).float().mean() >= 0.9999
    assert (steps == 0).float().mean() >= 0.99


MINUS_12_DB = 10 ** (-12 / 20)


# Clicks and sounds that fade into silence are left out: amplitude_to_db lifts all power below 1e-5 to it.
@pytest.mark.parametrize("gain", [0.1, 0.9])
@pytest.mark.parametrize("name", ["tones", "noise", "chirp", "clipping", "offset"])
def test_gain_changes_nothing(name: str, gain: float) -> None:
    samples = torch.from_numpy(sound(name, CLIP))
    assert_within_one_level(levels(samples), levels(samples * gain))


@pytest.mark.parametrize("genre", sorted(GENRES)[::4])
def test_gain_changes_nothing_in_music(genre: str) -> None:
    samples = torch.from_numpy(synthesise(genre, seed=0))
    assert_within_one_level(levels(samples), levels(samples * MINUS_12_DB))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("name", SOUNDS)
def test_a_gpu_draws_the_same(name: str) -> None:
    samples = torch.from_numpy(np.stack([sound(name, CLIP), sound("noise", CLIP)]))
    found = levels(samples.cuda())
    assert found.device.type == "cuda"
    assert_within_one_level(found.cpu(), levels(samples))


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
def test_samples_of_wrong_shape_or_type(samples: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"float32 \(N,\) or \(B, N\)"):
        levels(samples)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("shape", [(22_050,), (3, 22_050)])
def test_samples_that_are_not_finite(shape: tuple[int, ...], value: float) -> None:
    samples = torch.zeros(shape)
    samples[..., 1000] = value
    with pytest.raises(ValueError, match="finite"):
        levels(samples)


def random_levels(seed: int, *, columns: int = 333) -> Picture:
    return np.random.default_rng(seed).integers(0, 256, (N_MELS, columns), dtype=np.uint8)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), columns=st.sampled_from([333, 335]), darkest=st.integers(0, 255))
def test_picture_is_read_back_without_loss(seed: int, columns: int, darkest: int) -> None:
    original = random_levels(seed, columns=columns).clip(min=darkest)
    np.testing.assert_array_equal(from_image(to_image(original)), original[:, (columns - 333) // 2 :][:, :333])


@pytest.mark.parametrize("columns", [333, 335])
def test_png_is_read_back_without_loss(columns: int, tmp_path: Path) -> None:
    original = random_levels(3, columns=columns)
    inner = original[:, (columns - 333) // 2 :][:, :333]
    png = write_png(original)
    path = tmp_path / "picture.png"
    path.write_bytes(png)
    np.testing.assert_array_equal(read_png(png), inner)
    np.testing.assert_array_equal(read_png(path), inner)


def test_picture_without_alpha_is_read() -> None:
    original = random_levels(4)
    picture = to_image(original)
    assert picture.mode == "RGBA"
    np.testing.assert_array_equal(from_image(picture.convert("RGB")), original)


def test_picture_by_matplotlib_is_read() -> None:
    samples = sound("chirp", CLIP)
    found = from_image(Image.fromarray(drawn_by_matplotlib(samples)))
    assert (found != levels(torch.from_numpy(samples)).numpy()).mean() <= MOST_DIFFERENT


def test_frame_and_margin_are_not_read() -> None:
    original = random_levels(5)
    pixels = np.array(to_image(original))
    pixels[:36] = pixels[252:] = pixels[:, :55] = pixels[:, 388:] = 0
    np.testing.assert_array_equal(from_image(Image.fromarray(pixels)), original)


@pytest.mark.parametrize("pixel", [(36, 55), (36, 387), (251, 55), (251, 387), (140, 200)])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_one_pixel_of_another_colour_is_refused(pixel: tuple[int, int], channel: int) -> None:
    pixels = np.array(to_image(random_levels(6)))
    pixels[*pixel, channel] ^= 1
    with pytest.raises(PictureError, match="colours"):
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
def test_levels_of_wrong_shape_or_type(wrong: Picture) -> None:
    with pytest.raises(ValueError, match="levels must be uint8"):
        to_image(wrong)


def as_jpeg(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, format="JPEG", quality=95)
    return Image.open(buffer)


def as_viridis(picture: Image.Image) -> Image.Image:
    return Image.fromarray(matplotlib.colormaps["viridis"](np.asarray(picture.convert("L")), bytes=True))


def transparent(picture: Image.Image) -> Image.Image:
    pixels = np.array(picture)
    pixels[200, 300, 3] = 254
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("picture", "reason"),
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
def test_pictures_that_are_no_spectrograms(picture: Image.Image, reason: str) -> None:
    with pytest.raises(PictureError, match=reason):
        from_image(picture)


def jpeg_file() -> bytes:
    buffer = io.BytesIO()
    to_image(random_levels(9)).convert("RGB").save(buffer, format="JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", bytes(1000), jpeg_file()])
def test_files_that_are_no_png(data: bytes) -> None:
    with pytest.raises(PictureError):
        read_png(data)


def test_truncated_png_is_refused() -> None:
    png = write_png(random_levels(10))
    trailer = 12 + 4 + 4  # bytes: the end chunk, and two checksums that Pillow does without
    for length in [*range(0, 200, 7), *range(200, len(png) - trailer - 10, 997), len(png) - trailer - 10]:
        with pytest.raises(PictureError):
            read_png(png[:length])


def test_damaged_png_is_refused() -> None:
    png = bytearray(write_png(random_levels(11)))
    png[len(png) // 2] ^= 255
    with pytest.raises(PictureError):
        read_png(bytes(png))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))


def png_file(width: int, height: int, pixels: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + header(width, height) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


# The pixels are no zlib stream, so unpacking them would say that the PNG is damaged.
@pytest.mark.parametrize(("width", "height"), [(5000, 5000), (433, 288), (432, 289), (1, 1)])
def test_picture_of_another_size_is_not_unpacked(width: int, height: int) -> None:
    with pytest.raises(PictureError, match=f"the picture is {width}×{height} pixels"):
        read_png(png_file(width, height, b"not pixels"))


@pytest.mark.parametrize("size", [50_000, 2**31 - 1])
def test_decompression_bomb_is_refused(size: int) -> None:
    with pytest.raises(PictureError, match="432×288"):
        read_png(png_file(size, size, b"not pixels"))


@pytest.mark.parametrize(
    "size", [6000, 10_000, 50_000]
)  # Pillow unpacks the first, warns of the second, refuses the third
@pytest.mark.parametrize("order", ["a comment first", "a second header", "a second header behind the pixels"])
def test_a_size_that_is_not_where_it_belongs_is_not_unpacked(
    size: int, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked: list[tuple[int, int]] = []
    prepare = PngImageFile.load_prepare

    def watched(image: PngImageFile) -> None:
        unpacked.append(image.size)
        prepare(image)

    monkeypatch.setattr(PngImageFile, "load_prepare", watched)
    good, bad = header(432, 288), header(size, size)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    chunks = {
        "a comment first": chunk(b"tEXt", b"Title\0x") + bad + pixels,
        "a second header": good + bad + pixels,
        "a second header behind the pixels": good + pixels + bad,
    }
    with pytest.raises(PictureError):
        read_png(b"\x89PNG\r\n\x1a\n" + chunks[order] + chunk(b"IEND", b""))
    assert set(unpacked) <= {(432, 288)}


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_png(tmp_path / "nowhere.png")


def test_png_with_an_empty_colour_profile_after_the_pixels_is_refused() -> None:
    png = write_png(np.zeros((128, 333), dtype=np.uint8))
    with pytest.raises(PictureError, match="damaged"):
        read_png(png[:-12] + chunk(b"iCCP", b"") + png[-12:])


def test_png_of_100_megapixels_is_refused_without_a_warning() -> None:
    with pytest.raises(PictureError):
        read_png(png_file(10_000, 10_000, b"x"))


def test_samples_far_beyond_full_scale_are_refused() -> None:
    with pytest.raises(ValueError, match="within ±100000"):
        levels(torch.from_numpy(noise(seconds=3, seed=0)) * 1e10)  # a float WAV with the scale of 32-bit integers
