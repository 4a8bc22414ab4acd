"""Decoding returns the same samples as librosa.load, and windows cover whole songs."""

import doctest
import io
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from raygenre import audio
from raygenre.audio import blocks, decoding
from raygenre.audio.decoding import (
    SUFFIXES,
    WINDOW,
    AudioError,
    decode,
    decode_middle,
    middle_window,
    stream_windows,
    windows,
)
from raygenre.spectrogram.levels import levels
from tests.helpers.oracle import librosa
from tests.helpers.sounds import Samples, encode, noise, stereo, tone, wav_header

RATE = 22_050  # Hz


ENCODINGS = {  # file suffix, and FFmpeg's names for the container and codec
    "WAV, 8 bit": (".wav", "wav", "pcm_u8"),
    "WAV, 16 bit": (".wav", "wav", "pcm_s16le"),
    "WAV, 24 bit": (".wav", "wav", "pcm_s24le"),
    "WAV, 32 bit": (".wav", "wav", "pcm_s32le"),
    "WAV, float": (".wav", "wav", "pcm_f32le"),
    "WAV, double": (".wav", "wav", "pcm_f64le"),
    "WAV, A-law": (".wav", "wav", "pcm_alaw"),
    "AU": (".au", "au", "pcm_s16be"),
    "AIFF": (".aiff", "aiff", "pcm_s16be"),
    "FLAC": (".flac", "flac", "flac"),
    "M4A, lossless": (".m4a", "ipod", "alac"),
    "M4A": (".m4a", "ipod", "aac"),
    "AAC": (".aac", "adts", "aac"),
    "MP3": (".mp3", "mp3", "libmp3lame"),
    "Vorbis": (".ogg", "ogg", "libvorbis"),
    "Opus": (".opus", "ogg", "libopus"),
    "WebM": (".webm", "webm", "libopus"),
    "WMA": (".wma", "asf", "wmav2"),
}
EXACT = {  # lossless formats, with the largest permitted difference from the original samples
    "WAV, 8 bit": 2**-7,
    "WAV, 16 bit": 2**-15,
    "WAV, 24 bit": 2**-23,
    "WAV, 32 bit": 2**-24,
    "WAV, float": 0.0,
    "WAV, double": 0.0,
    "AU": 2**-15,
    "AIFF": 2**-15,
    "FLAC": 2**-15,
    "M4A, lossless": 2**-15,
}
DAMAGED = ("MP3", "FLAC", "Vorbis", "M4A", "AAC", "WAV, 16 bit", "WMA", "WebM")


def loudness_at(samples: Samples, frequency: float) -> float:
    """Return the amplitude of the sine at `frequency` Hz in the samples."""
    time = np.arange(len(samples)) / RATE
    return float(2 * np.abs(np.mean(samples * np.hanning(len(samples)) * 2 * np.exp(2j * np.pi * frequency * time))))


@pytest.mark.parametrize("rate", [48_000, 24_000])
@pytest.mark.parametrize("name", ENCODINGS)
def test_every_format_decodes_and_mixes_down_to_mono(name: str, rate: int, tmp_path: Path) -> None:
    suffix, container, codec = ENCODINGS[name]
    both = stereo(tone(440, seconds=4, rate=rate), tone(1000, seconds=4, rate=rate, loudness=0.25))
    data = encode(both, container, codec, rate=rate)
    path = tmp_path / f"song{suffix}"
    path.write_bytes(data)
    samples = decode(data)
    assert suffix in SUFFIXES
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(4 * RATE, abs=0.1 * RATE)
    assert loudness_at(samples, 440) == pytest.approx(0.25, rel=0.08)
    assert loudness_at(samples, 1000) == pytest.approx(0.125, rel=0.08)
    assert loudness_at(samples, 2000) < 0.005
    np.testing.assert_array_equal(decode(path), samples)


@pytest.mark.parametrize("name", EXACT)
def test_lossless_formats_preserve_samples(name: str) -> None:
    _, container, codec = ENCODINGS[name]
    original = noise(seconds=3, seed=0, loudness=0.4).clip(-0.99, 0.99)
    samples = decode(encode(original, container, codec))
    assert len(samples) == len(original)
    np.testing.assert_allclose(samples, original, rtol=0, atol=EXACT[name])
    assert abs(float(samples.mean() - original.mean())) < 2**-8


@pytest.mark.parametrize("name", EXACT)
def test_silence_decodes_to_zeros(name: str) -> None:
    _, container, codec = ENCODINGS[name]
    samples = decode(encode(np.zeros(RATE, dtype=np.float32), container, codec))
    assert len(samples) == RATE
    assert not samples.any()


def test_channels_are_averaged() -> None:
    left, right = noise(seconds=3, seed=1), noise(seconds=3, seed=2)
    samples = decode(encode(stereo(left, right), "wav", "pcm_f32le"))
    np.testing.assert_allclose(samples, (left + right) / 2, rtol=0, atol=1e-7)


def test_opposite_channels_cancel() -> None:
    left = noise(seconds=3, seed=1)
    assert np.abs(decode(encode(stereo(left, -left), "wav", "pcm_f32le", rate=44_100))).max() == 0


# librosa imports audioread, which imports modules removed in Python 3.13.
@pytest.mark.filterwarnings("ignore:'(aifc|audioop|sunau)' is deprecated:DeprecationWarning")
# Resampling a song in blocks changes soxr's float32 sums by up to 2e-6.
@pytest.mark.parametrize(
    ("rate", "channels", "codec"),
    [
        (44_100, 2, "pcm_s16le"),
        (48_000, 1, "pcm_s24le"),
        (96_000, 2, "pcm_f32le"),
        (16_000, 1, "pcm_s16le"),
        (22_050, 2, "pcm_s24le"),
    ],
)
def test_samples_equal_librosas(rate: int, channels: int, codec: str, tmp_path: Path) -> None:
    signals = [noise(seconds=15, seed=seed, rate=rate) + tone(440, seconds=15, rate=rate) for seed in range(channels)]
    path = tmp_path / "song.wav"
    path.write_bytes(encode(stereo(*signals) if channels == 2 else signals[0], "wav", codec, rate=rate))
    theirs, _ = librosa().load(path, sr=RATE, mono=True)
    ours = decode(path)
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("rate", "kept"), [(1_000, 300), (8_000, 3_000), (192_000, 9_000), (768_000, 9_000)])  # Hz
def test_sample_rates_at_the_limits_are_accepted(rate: int, kept: float) -> None:
    samples = decode(encode(tone(kept, seconds=3, rate=rate), rate=rate))
    assert len(samples) == 3 * RATE
    assert loudness_at(samples, kept) == pytest.approx(0.5, rel=0.05)


def test_frequencies_above_nyquist_are_filtered_out() -> None:
    samples = decode(encode(tone(15_000, seconds=3, rate=44_100), rate=44_100))
    assert np.abs(samples[1000:-1000]).max() < 1e-3


@pytest.mark.parametrize("rate", [500, 999, 768_001, 1_000_000])
def test_sample_rates_beyond_the_limits_are_rejected(rate: int) -> None:
    with pytest.raises(AudioError, match=f"{rate} Hz"):
        decode(encode(np.zeros(2 * rate, dtype=np.float32), rate=rate))


def test_sample_rate_that_changes_is_rejected() -> None:
    slow, fast = (encode(tone(440, seconds=2, rate=rate), "adts", "aac", rate=rate) for rate in (44_100, 48_000))
    with pytest.raises(AudioError, match="changes from 44100 to 48000 Hz"):
        decode(slow + fast)


def test_number_of_channels_may_change() -> None:
    mono = tone(440, seconds=2)
    samples = decode(encode(mono, "adts", "aac") + encode(stereo(mono, mono), "adts", "aac"))
    assert len(samples) == pytest.approx(4 * RATE, abs=0.2 * RATE)
    assert loudness_at(samples[-RATE:], 440) == pytest.approx(0.5, rel=0.08)


def tagged(mp3: bytes, frames: dict[bytes, bytes]) -> bytes:
    """Return an MP3 file with ID3v2.3 tags inserted before the audio."""
    body = b"".join(name + struct.pack(">IH", len(data), 0) + data for name, data in frames.items())
    size = bytes((len(body) >> shift) & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + size + body + mp3


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "tags",
    [
        {b"APIC": b"\x00image/png\x00\x03\x00" + png()},
        {b"TIT2": b"\x03\xff\xfe\xc3\x28 not UTF-8", b"TPE1": b"\x00Bj\xf6rk"},
    ],
    ids=["cover", "title not in UTF-8"],
)
def test_tags_do_not_change_the_samples(tags: dict[bytes, bytes]) -> None:
    mp3 = encode(tone(440, seconds=3), "mp3", "libmp3lame")
    np.testing.assert_array_equal(decode(tagged(mp3, tags)), decode(mp3))


NOT_AUDIO = (b"la la la\n" * 1000, bytes(10_000), b"RIFF", b"ID3", b"#EXTM3U\na.mp3\n")


@pytest.mark.parametrize("data", [b"", *NOT_AUDIO])
def test_bytes_that_are_not_audio_are_rejected(data: bytes) -> None:
    with pytest.raises(AudioError):
        decode(data)


@pytest.mark.parametrize("data", NOT_AUDIO)
def test_files_that_are_not_audio_are_rejected(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(data)
    with pytest.raises(AudioError):
        decode(path)


def test_image_is_rejected() -> None:
    with pytest.raises(AudioError):
        decode(png())


def test_video_without_audio_track_is_rejected() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, mode="w", format="matroska") as video:
        stream = video.add_stream("mpeg4", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            video.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), dtype=np.uint8), format="rgb24")))
        video.mux(stream.encode(None))
    with pytest.raises(AudioError, match="no audio track"):
        decode(buffer.getvalue())


def test_wav_without_samples_is_rejected() -> None:
    header = encode(tone(440, seconds=1))[:44]
    with pytest.raises(AudioError):
        decode(header)


def test_wav_without_header_is_rejected() -> None:
    with pytest.raises(AudioError):
        decode(tone(440, seconds=30).tobytes())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("rate", [22_050, 44_100])
def test_samples_that_are_not_finite_are_rejected(rate: int, value: float) -> None:
    original = tone(440, seconds=4, rate=rate)
    original[rate] = value
    with pytest.raises(AudioError, match="NaN or infinite"):
        decode(encode(original, "wav", "pcm_f32le", rate=rate))


@pytest.mark.parametrize("name", DAMAGED)
def test_truncated_file_decodes_in_part_or_is_rejected(name: str) -> None:
    _, container, codec = ENCODINGS[name]
    data = encode(noise(seconds=2, seed=3, rate=48_000), container, codec, rate=48_000)
    for length in range(1, len(data), len(data) // 40):
        try:
            samples = decode(data[:length])
        except AudioError:
            continue
        assert 0 < len(samples) <= 2.1 * RATE
        assert np.isfinite(samples).all()


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_file_decodes_or_is_rejected(name: str) -> None:
    _, container, codec = ENCODINGS[name]
    data = encode(noise(seconds=1, seed=4, rate=48_000), container, codec, rate=48_000)
    random = np.random.default_rng(0)
    for _ in range(40):
        damaged = bytearray(data)
        for position in random.integers(0, len(data), 30):
            damaged[position] = random.integers(0, 256)
        try:
            assert np.isfinite(decode(bytes(damaged))).all()
        except AudioError:
            continue


def test_half_of_an_mp3_file_decodes_to_half_of_the_song() -> None:
    data = encode(tone(440, seconds=8), "mp3", "libmp3lame")
    assert len(decode(data[: len(data) // 2])) == pytest.approx(4 * RATE, rel=0.05)


# Encoders insert about a thousand samples before the audio, and record in the file how many they inserted.
@pytest.mark.parametrize("name", ["MP3", "M4A", "Opus", "Vorbis"])
def test_encoder_delay_is_removed(name: str) -> None:
    original = noise(seconds=4, seed=5, rate=48_000, loudness=0.2)
    original[: 48_000 * 2] = 0
    _, container, codec = ENCODINGS[name]
    samples = decode(encode(original, container, codec, rate=48_000))
    assert len(samples) == pytest.approx(4 * RATE, abs=1024)
    start = np.flatnonzero(np.abs(samples) > 0.1)[0]
    assert start == pytest.approx(2 * RATE, abs=64)


def test_mp3_decodes_to_its_original_length() -> None:
    for seconds in (3.1, 4):
        original = noise(seconds=seconds, seed=6)
        assert len(decode(encode(original, "mp3", "libmp3lame"))) == len(original)


def test_song_over_the_duration_limit_is_rejected() -> None:
    data = encode(tone(440, seconds=5), rate=RATE)
    assert len(decode(data, longest_seconds=5)) == 5 * RATE
    with pytest.raises(AudioError, match=r"limit of 4\.9 s"):
        decode(data, longest_seconds=4.9)


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decode(tmp_path / "nowhere.mp3")


def song(seconds: float) -> Samples:
    """Return a song in which every sample equals its index; float32 represents integers below 2²⁴ exactly."""
    return np.arange(round(seconds * RATE), dtype=np.float32)


def test_song_under_3_seconds_is_rejected() -> None:
    for cut in (windows, middle_window):
        with pytest.raises(AudioError, match=r"lasts 2\.9 s; at least 3 s"):
            cut(song(2.9))
        with pytest.raises(AudioError, match="at least 3 s"):
            cut(song(0))


@pytest.mark.parametrize("seconds", [3, 14.7, 29, 29.99])
def test_short_song_is_repeated(seconds: float) -> None:
    original = song(seconds)
    (window,) = windows(original)
    assert len(window.samples) == WINDOW
    np.testing.assert_array_equal(window.samples, np.tile(original, 11)[:WINDOW])
    assert window.start == 0
    assert window.end == pytest.approx(seconds, abs=1e-4)


@pytest.mark.parametrize("seconds", [30, WINDOW / RATE, 30.5, 31])
def test_song_of_30_to_31_seconds_is_one_window(seconds: float) -> None:
    original = song(seconds)
    (window,) = windows(original)
    np.testing.assert_array_equal(window.samples, original)
    assert window.start == 0
    assert window.end == pytest.approx(seconds, abs=1e-4)


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [
        (31.1, [0, 31.1 - WINDOW / RATE]),
        (2 * WINDOW / RATE, [0, WINDOW / RATE]),
        (95, [0, WINDOW / RATE, 2 * WINDOW / RATE, 95 - WINDOW / RATE]),
    ],
)
def test_long_song_is_cut_into_windows(seconds: float, starts: list[float]) -> None:
    assert [window.start for window in windows(song(seconds))] == pytest.approx(starts, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.one_of(st.integers(31 * RATE + 1, 130 * RATE), st.integers(1, 4).map(lambda n: (n + 1) * WINDOW)))
def test_windows_cover_a_long_song(length: int) -> None:
    original = np.arange(length, dtype=np.float32)
    cut = windows(original)
    covered = np.zeros(length, dtype=bool)
    for window in cut:
        start = round(window.start * RATE)
        assert len(window.samples) == WINDOW
        assert window.samples[0] == start
        assert window.samples[-1] == start + WINDOW - 1
        assert window.end == pytest.approx((start + WINDOW) / RATE)
        covered[start : start + WINDOW] = True
    assert covered.all()
    assert len(cut) == -(-length // WINDOW)
    assert [window.start for window in cut] == sorted({window.start for window in cut})


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(st.integers(3 * RATE, 130 * RATE), st.integers(1, 4).map(lambda n: n * WINDOW)),
    st.lists(st.integers(0, 130 * RATE), max_size=4),
)
def test_windows_of_a_stream_are_those_of_the_song(length: int, cuts: list[int]) -> None:
    original = np.arange(length, dtype=np.float32)
    arrived: dict[float, NDArray[np.float32]] = {}
    parts = np.split(original, sorted(cuts))
    streamed = list(stream_windows(parts, on_samples=lambda start, samples: arrived.update({start: samples.copy()})))
    cut = windows(original)
    for window in streamed:
        so_far = arrived.get(window.start, np.empty(0, dtype=np.float32))
        np.testing.assert_array_equal(so_far, window.samples[: len(so_far)])
    assert len(arrived.get(0.0, ())) == min(length, WINDOW)
    assert [(window.start, window.end) for window in streamed] == [(window.start, window.end) for window in cut]
    for one, other in zip(streamed, cut, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)


def test_stream_under_3_seconds_is_rejected() -> None:
    for parts in ([song(2.9)], []):
        with pytest.raises(AudioError, match="at least 3 s"):
            list(stream_windows(parts))


# With short blocks, even a 31 s song consists of many blocks. A song is decoded twice if finding its middle would
# require keeping more than `held` seconds of audio in memory.
@pytest.mark.parametrize(("block", "held"), [(1 << 18, 600), (1000, 40)])  # samples, s
@pytest.mark.parametrize("seconds", [3, 31, 31.1, 100.3])
def test_decoded_middle_is_that_of_the_decoded_song(
    seconds: float, block: int, held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "_BLOCK", block)
    monkeypatch.setattr(decoding, "_MAX_HELD", held)
    data = encode(noise(seconds=seconds, seed=0))
    expected = middle_window(decode(data))
    with as_pipe(data, tmp_path) as stream:
        window = decode_middle(stream)
    assert (window.start, window.end) == (expected.start, expected.end)
    np.testing.assert_array_equal(window.samples, expected.samples)


@pytest.mark.parametrize("seconds", [3, 29, 30, 31])
def test_middle_window_of_a_short_song_is_the_whole_song(seconds: float) -> None:
    middle, (window,) = middle_window(song(seconds)), windows(song(seconds))
    np.testing.assert_array_equal(middle.samples, window.samples)
    assert (middle.start, middle.end) == (window.start, window.end)


@pytest.mark.parametrize("seconds", [31.1, 95, 240])
def test_middle_window_of_a_long_song_is_centred(seconds: float) -> None:
    window = middle_window(song(seconds))
    assert len(window.samples) == WINDOW
    assert window.start == pytest.approx(seconds - window.end, abs=1e-4)
    assert window.samples[0] == round(window.start * RATE)
    assert window.end - window.start == pytest.approx(WINDOW / RATE)


def test_window_has_the_length_of_the_datasets_clips() -> None:
    assert audio.WINDOW == 661_794


def test_ffconcat_playlist_opens_no_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.wav").write_bytes(encode(tone(440, seconds=4)))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AudioError):
        decode(b"ffconcat version 1.0\nfile secret.wav\n")


def test_hls_playlist_opens_no_other_files(tmp_path: Path) -> None:
    (tmp_path / "secret.aac").write_bytes(encode(tone(440, seconds=4), "adts", "aac"))
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{tmp_path}/secret.aac\n#EXT-X-ENDLIST\n")
    with pytest.raises(AudioError):
        decode(playlist)


def test_session_description_opens_no_socket() -> None:
    start = time.monotonic()
    with pytest.raises(AudioError):
        decode(b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n")
    assert time.monotonic() - start < 5  # s; if a socket were opened, decoding would wait for packets


def test_empty_mp3_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").touch()
    with pytest.raises(AudioError):
        decode(tmp_path / "song.mp3")


def test_wav_of_64_bit_integers_is_rejected() -> None:
    with pytest.raises(AudioError):
        decode(encode(tone(440, seconds=3), "wav", "pcm_s64le"))


@pytest.mark.parametrize("end", [bytes(5000), b"LYRICSBEGIN" + b"la la " * 200 + b"LYRICS200"])
def test_data_after_an_mp3s_audio_is_ignored(end: bytes) -> None:
    mp3 = encode(tone(440, seconds=4), "mp3", "libmp3lame")
    assert len(decode(mp3 + end)) == pytest.approx(len(decode(mp3)), abs=0.2 * 22_050)


def test_damaged_frame_of_an_mp3_is_skipped() -> None:
    mp3 = bytearray(encode(tone(440, seconds=8), "mp3", "libmp3lame"))
    mp3[10_000:10_500] = np.random.default_rng(0).bytes(500)
    assert len(decode(bytes(mp3))) == pytest.approx(8 * 22_050, rel=0.05)


def test_double_samples_beyond_float32_are_rejected() -> None:
    samples = tone(440, seconds=3).astype(np.float64)
    samples[1000] = 1e300
    with pytest.raises(AudioError, match="infinite"):
        decode(wav_header(samples.nbytes, bits=64, code=3) + samples.tobytes())


@contextmanager
def as_file(data: bytes, folder: Path) -> Iterator[IO[bytes]]:
    (folder / "song").write_bytes(data)
    with (folder / "song").open("rb") as file:
        yield file


@contextmanager
def as_memory(data: bytes, folder: Path) -> Iterator[IO[bytes]]:
    yield io.BytesIO(data)


@contextmanager
def as_pipe(data: bytes, folder: Path) -> Iterator[IO[bytes]]:
    """Yield a stream that is not seekable and may return fewer bytes than requested."""
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as end:
            end.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        yield pipe
    thread.join()


OpenStream = Callable[[bytes, Path], AbstractContextManager[IO[bytes]]]
STREAMS = (as_file, as_memory, as_pipe)


@pytest.mark.parametrize("open_stream", STREAMS)
@pytest.mark.parametrize("name", ["WAV, 16 bit", "FLAC", "M4A", "MP3", "Vorbis", "WMA", "WebM"])
def test_stream_and_bytes_decode_to_the_same_samples(name: str, open_stream: OpenStream, tmp_path: Path) -> None:
    _, container, codec = ENCODINGS[name]
    data = encode(tone(440, seconds=4, rate=48_000), container, codec, rate=48_000)
    with open_stream(data, tmp_path) as stream:
        np.testing.assert_array_equal(decode(stream), decode(data))
        assert not stream.closed


@pytest.mark.parametrize("open_stream", STREAMS)
@pytest.mark.parametrize("data", [b"", *NOT_AUDIO])
def test_streams_that_are_not_audio_are_rejected(data: bytes, open_stream: OpenStream, tmp_path: Path) -> None:
    with open_stream(data, tmp_path) as stream, pytest.raises(AudioError) as of_stream:
        decode(stream)
    with pytest.raises(AudioError) as of_bytes:
        decode(data)
    assert str(of_stream.value) == str(of_bytes.value)


def test_seekable_stream_is_decoded_from_its_beginning() -> None:
    data = encode(tone(440, seconds=4))
    stream = io.BytesIO(data)
    stream.seek(1000)
    np.testing.assert_array_equal(decode(stream), decode(data))


def test_named_pipe_decodes(tmp_path: Path) -> None:
    data = encode(tone(440, seconds=4), "ipod", "aac")
    os.mkfifo(tmp_path / "song.m4a")
    thread = threading.Thread(target=lambda: (tmp_path / "song.m4a").write_bytes(data))
    thread.start()
    np.testing.assert_array_equal(decode(tmp_path / "song.m4a"), decode(data))
    thread.join()


def test_endless_stream_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_MAX_COPIED", 1 << 27)

    class Endless(io.RawIOBase):
        read_so_far = 0

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            self.read_so_far += size
            assert self.read_so_far < 1 << 28
            return bytes(size)

    with pytest.raises(AudioError, match=r"larger than 0\.125 GiB; split"):
        decode(Endless())  # type: ignore[arg-type]


def test_connection_error_of_a_stream_propagates() -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            raise ConnectionResetError("the other side hung up")

    with pytest.raises(ConnectionResetError, match="hung up"):
        decode(Broken())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "problem", "remedy"),
    [
        (b"", "the file is empty", "copy it again"),
        (b"la la la\n" * 1000, "neither a PNG nor audio: it is text", "supported: WAV"),
        (encode(tone(440, seconds=8), "mp3", "libmp3lame")[:700], "MP3 file is damaged or cut off", "copy it again"),
        (wav_header(44_100, channels=0) + bytes(44_100), "0 channels", "convert it"),
        (wav_header(44_100, rate=1) + bytes(44_100), "rate is 1 Hz; it must be from 1 to 768 kHz", "resample it"),
        (wav_header(44_100, rate=10_000_000) + bytes(44_100), "rate is 10000000 Hz", "resample it"),
        (wav_header(44_100, bits=0) + bytes(44_100), "no decoder supports this audio", "convert it"),
        (encode(np.full(RATE, np.nan, dtype=np.float32), "wav", "pcm_f32le"), "NaN or infinite", "export it again"),
        (encode(np.zeros(5 * RATE, dtype=np.float32)), "longer than the limit of 4 s", "split it into parts"),
        (png(), "no audio track|not audio", "choose a file|convert it"),
    ],
)
def test_error_names_the_problem_and_the_remedy(data: bytes, problem: str, remedy: str) -> None:
    with pytest.raises(AudioError, match=rf"(?s)({problem}).*({remedy})"):
        decode(data, longest_seconds=4)


def test_silence_is_level_0_without_division_by_zero() -> None:
    samples = decode(encode(np.zeros(30 * RATE, dtype=np.float32), "flac", "flac"))
    assert not levels(torch.from_numpy(windows(samples)[0].samples)).any()


def test_wav_header_with_too_large_a_size_is_tolerated() -> None:
    data = (tone(440, seconds=4) * 32_767).astype("<i2").tobytes()
    assert len(decode(wav_header(len(data), claimed=2**32 - 1) + data)) == 4 * RATE
    assert len(decode(wav_header(len(data), claimed=2**31) + data)) == 4 * RATE


_MEASURE = """
import sys
from pathlib import Path
from raygenre.audio import AudioError, decode
from raygenre.inputs.levels import LEVELS
from raygenre.spectrogram.song import middle_levels
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024  # MiB
before = peak()
try:
    {"decode": decode, "read": LEVELS.read, "middle_levels": middle_levels}[sys.argv[1]](Path(sys.argv[2]))
except AudioError as error:
    print(peak() - before, error)
"""


# Half an hour of float32 audio at 22 050 Hz takes up 159 MB.
@pytest.mark.parametrize(
    ("reader", "minutes", "problem", "most"),
    [
        ("read", 31, "silent from beginning to end", 100),
        ("middle_levels", 45, "the middle 30 s of the song, the only part used, are silent", 150),
        ("decode", 180, "limit of 1800 s", 300),
    ],
)
def test_long_song_is_read_in_bounded_memory(
    reader: str, minutes: int, problem: str, most: float, tmp_path: Path
) -> None:
    size = minutes * 60 * RATE * 2
    with (tmp_path / "song").open("wb") as file:
        file.write(wav_header(size))
        file.truncate(44 + size)  # silence as a sparse file, which takes up no disk space
    command = [sys.executable, "-c", _MEASURE, reader, str(tmp_path / "song")]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    growth, message = result.stdout.split(maxsplit=1)
    assert problem in message
    assert float(growth) < most  # MiB


def test_exception_of_on_packet_stops_decoding() -> None:
    class StopDecodingError(Exception):
        pass

    packets = 0

    def count_packet() -> None:
        nonlocal packets
        packets += 1
        if packets == 20:
            raise StopDecodingError

    with pytest.raises(StopDecodingError):
        audio.decode(encode(noise(seconds=10, seed=0), "mp3", "libmp3lame"), on_packet=count_packet)
    assert packets == 20


def test_examples_in_docstrings() -> None:
    failed, attempted = doctest.testmod(decoding)
    assert attempted
    assert not failed
