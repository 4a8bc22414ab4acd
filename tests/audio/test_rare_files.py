"""Rare and damaged files are decoded as in media players, or rejected for the right reason."""

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest

from raygenre.audio import AudioError, decode
from raygenre.audio.file_type import identify
from raygenre.audio.readable import readable
from tests.helpers.real_files import (
    ICY,
    RATE,
    SILENCE,
    SOUND,
    big_endian_wav,
    frames,
    opus_without_first_page,
    padded_wav,
    sound,
    tracks,
)
from tests.helpers.sounds import Samples, encode, noise, wav_header

LIST = b"LIST" + struct.pack("<I", 10_000) + b"\x7f" * 10_000  # a chunk after the samples


def plain(samples: Samples) -> Samples:
    return decode(encode(samples, "wav", "pcm_f32le", rate=RATE))


@pytest.mark.parametrize("is_extensible", [True, False])
@pytest.mark.parametrize("shift", [8, 0])
def test_24_bit_integers_in_32_bits_are_not_read_as_floats(is_extensible: bool, shift: int) -> None:
    samples = decode(padded_wav(SOUND, is_extensible=is_extensible, shift=shift) + LIST)
    np.testing.assert_allclose(samples, plain(SOUND), rtol=0, atol=1e-6)


def test_floats_of_old_cool_edit_files_are_still_read_as_floats() -> None:
    data = (SOUND * 2**23).astype("<f4").tobytes()
    header = bytearray(wav_header(len(data), rate=RATE, bits=32))
    header[34] = 24
    np.testing.assert_allclose(decode(bytes(header) + data), plain(SOUND), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "code", "bits", "scale"),
    [(">i2", 1, 16, 2**15 - 1), (">i4", 1, 32, 2**31 - 128), (">f4", 3, 32, 1.0), (">i4", 1, 24, 2**31 - 128)],
)
def test_big_endian_wav_is_decoded(dtype: str, code: int, bits: int, scale: float) -> None:
    data = (SOUND.astype(np.float64) * scale).astype(dtype).tobytes()
    size = np.dtype(dtype).itemsize
    fields = (0, b"WAVE", b"fmt ", 18, code, 1, RATE, size * RATE, size, bits, 0, b"data", len(data))
    file = struct.pack(">4sI4s4sIHHIIHHH4sI", b"RIFX", *fields) + data + LIST
    np.testing.assert_allclose(decode(file), plain(SOUND), rtol=0, atol=2**-14)


@pytest.mark.parametrize(
    "data",
    [big_endian_wav(SOUND, code=2), big_endian_wav(SOUND)[:30], b"RIFX\0\0\0\0WAVE"],
    ids=["other format", "cut off", "no format"],
)
def test_big_endian_wav_that_cannot_be_decoded_is_named(data: bytes) -> None:
    with pytest.raises(AudioError, match=r"a big-endian WAV \(RIFX\)"):
        decode(data)


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xff\xfe"])
def test_byte_order_mark_does_not_change_the_samples(mark: bytes) -> None:
    for file in (sound("wav", "pcm_s16le"), sound("flac", "flac"), padded_wav(SOUND), big_endian_wav(SOUND)):
        np.testing.assert_array_equal(decode(mark + file), decode(file))


@pytest.mark.parametrize(
    "junk", [ICY, bytes(60_000), noise(seconds=1, seed=3).tobytes()[:5000]], ids=["text", "zeros", "noise"]
)
@pytest.mark.parametrize("stream", [("mp3", "libmp3lame"), ("adts", "aac")])
def test_junk_before_the_first_frame_does_not_change_the_samples(junk: bytes, stream: tuple[str, str]) -> None:
    file = frames(*stream)
    np.testing.assert_array_equal(decode(junk + file), decode(file))


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize(("container", "codec"), [("matroska", "flac"), ("ipod", "alac")])
def test_default_track_is_decoded(container: str, codec: str, number: int) -> None:
    sounds = [noise(seconds=1, seed=seed, rate=RATE) for seed in range(3)]
    file = tracks(sounds, container, codec, default=number)
    np.testing.assert_allclose(decode(file), plain(sounds[number]), rtol=0, atol=2**-14)


@pytest.mark.parametrize("default", [None, 0, 1])
def test_silent_tracks_are_passed_over(default: int | None) -> None:
    file = tracks([SILENCE, SOUND, SILENCE], "matroska", "flac", default=default)
    np.testing.assert_allclose(decode(file), plain(SOUND), rtol=0, atol=2**-14)


def test_track_that_starts_with_silence_is_not_passed_over() -> None:
    late = SOUND.copy()
    late[: 2 * RATE] = 0
    samples = decode(tracks([late, SOUND], "matroska", "flac", default=0))
    np.testing.assert_allclose(samples, plain(late), rtol=0, atol=2**-14)


def test_file_of_silent_tracks_is_silent() -> None:
    samples = decode(tracks([SILENCE, SILENCE], "matroska", "flac", default=1))
    assert len(samples) == len(plain(SILENCE))
    assert not samples.any()


def test_track_without_a_decoder_is_passed_over() -> None:
    file = tracks([SILENCE, SOUND], "matroska", "flac", default=0)
    unknown = file.replace(b"A_FLAC", b"A_NONE", 1)
    np.testing.assert_allclose(decode(unknown), plain(SOUND), rtol=0, atol=2**-14)
    with pytest.raises(AudioError, match="no decoder supports this audio, which may be encrypted"):
        decode(file.replace(b"A_FLAC", b"A_NONE"))


def test_search_for_a_track_that_sounds_stops_at_the_limit() -> None:
    with pytest.raises(AudioError, match="limit of 1 s"):
        decode(tracks([SILENCE, SILENCE], "matroska", "flac"), longest_seconds=1)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: sound("ipod", "aac")[:-2000], "the MP4 file is cut off before its index; copy it again"),
        (lambda: sound("ipod", "aac").partition(b"mvhd")[0], "the MP4 file is cut off before its index; copy it again"),
        (opus_without_first_page, "the Ogg file lacks its first page, which describes the encoding; copy it again"),
        (lambda: sound("ogg", "libopus")[:40], "the Ogg file is damaged or cut off; copy it again"),
        (lambda: sound("wv", "wavpack")[:40], "the file contains no audio samples; convert it"),
        (lambda: b"TTA1" + bytes(100), "the TTA file is damaged or cut off; copy it again"),
        (lambda: b"\0\0\0\x08free\0\0\0\4" + bytes(100), "the MP4 file is damaged or cut off; copy it again"),
    ],
)
def test_damaged_file_is_refused_by_what_it_is(make: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(AudioError, match=f"^{reason}"):
        decode(make())


def test_view_of_a_file_reads_like_a_file() -> None:
    file = b"\xef\xbb\xbf" + padded_wav(SOUND[:1000])
    view = readable(io.BytesIO(file), file, identify(file))
    whole = view.read()
    assert whole[44:] == file[-4000:]
    random = np.random.default_rng(0)
    for position, size in random.integers(0, len(whole) + 50, (200, 2)):
        assert view.seek(position) == position
        assert view.read(size) == whole[position : position + size]
    assert view.seek(-4, io.SEEK_END) == len(whole) - 4
    assert view.read(10) == whole[-4:]
    with pytest.raises(OSError, match="before the start"):
        view.seek(-1)
