"""Any audio file becomes the samples that librosa.load would give, and songs are cut without loss."""

import io
import struct
import time
from pathlib import Path

import av
import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from raygenre import audio
from raygenre.audio import SUFFIXES, WINDOW, AudioError, decode, middle_window, windows
from tests.sounds import Samples, encode, noise, stereo, tone

RATE = 22_050  # Hz


ENCODINGS = {  # suffix of such files, container and codec by FFmpeg's names
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
EXACT = {  # largest difference of a sample from the original
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
    """Amplitude of the sine of `frequency` Hz within samples."""
    time = np.arange(len(samples)) / RATE
    return float(2 * np.abs(np.mean(samples * np.hanning(len(samples)) * 2 * np.exp(2j * np.pi * frequency * time))))


@pytest.mark.parametrize("rate", [48_000, 24_000])
@pytest.mark.parametrize("name", ENCODINGS)
def test_every_format_is_decoded_and_mixed_down(name: str, rate: int, tmp_path: Path) -> None:
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
def test_exact_formats_give_back_their_samples(name: str) -> None:
    _, container, codec = ENCODINGS[name]
    original = noise(seconds=3, seed=0, loudness=0.4).clip(-0.99, 0.99)
    samples = decode(encode(original, container, codec))
    assert len(samples) == len(original)
    np.testing.assert_allclose(samples, original, rtol=0, atol=EXACT[name])
    assert abs(float(samples.mean() - original.mean())) < 2**-8


@pytest.mark.parametrize("name", EXACT)
def test_silence_is_zero(name: str) -> None:
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


# audioread, which librosa imports, imports modules that Python 3.13 does without.
@pytest.mark.filterwarnings("ignore:'(aifc|audioop|sunau)' is deprecated:DeprecationWarning")
# 2e-6 is what float32 sums of soxr's filters differ by when a song comes in pieces.
@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_s24le", "pcm_f32le"])
@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (48_000, 1), (96_000, 2), (16_000, 1), (22_050, 2)])
def test_samples_are_librosas(rate: int, channels: int, codec: str, tmp_path: Path) -> None:
    sides = [noise(seconds=15, seed=seed, rate=rate) + tone(440, seconds=15, rate=rate) for seed in range(channels)]
    path = tmp_path / "song.wav"
    path.write_bytes(encode(stereo(*sides) if channels == 2 else sides[0], "wav", codec, rate=rate))
    theirs, _ = librosa.load(path, sr=RATE, mono=True)
    ours = decode(path)
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("rate", "kept"), [(1_000, 300), (8_000, 3_000), (192_000, 9_000), (768_000, 9_000)])
def test_rates_at_the_limits(rate: int, kept: float) -> None:
    samples = decode(encode(tone(kept, seconds=3, rate=rate), rate=rate))
    assert len(samples) == 3 * RATE
    assert loudness_at(samples, kept) == pytest.approx(0.5, rel=0.05)


def test_what_cannot_be_heard_at_the_lower_rate_is_filtered_out() -> None:
    samples = decode(encode(tone(15_000, seconds=3, rate=44_100), rate=44_100))
    assert np.abs(samples[1000:-1000]).max() < 1e-3


@pytest.mark.parametrize("rate", [500, 999, 768_001, 1_000_000])
def test_rates_beyond_the_limits(rate: int) -> None:
    with pytest.raises(AudioError, match=f"{rate} Hz"):
        decode(encode(np.zeros(2 * rate, dtype=np.float32), rate=rate))


def test_rate_that_changes() -> None:
    slow, fast = (encode(tone(440, seconds=2, rate=rate), "adts", "aac", rate=rate) for rate in (44_100, 48_000))
    with pytest.raises(AudioError, match="changes from 44100 to 48000 Hz"):
        decode(slow + fast)


def test_channels_that_change() -> None:
    mono = tone(440, seconds=2)
    samples = decode(encode(mono, "adts", "aac") + encode(stereo(mono, mono), "adts", "aac"))
    assert len(samples) == pytest.approx(4 * RATE, abs=0.2 * RATE)
    assert loudness_at(samples[-RATE:], 440) == pytest.approx(0.5, rel=0.08)


def tagged(mp3: bytes, frames: dict[bytes, bytes]) -> bytes:
    """An MP3 file with ID3v2.3 tags before its sound."""
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
        {b"TIT2": b"\x03\xff\xfe\xc3\x28 no UTF-8", b"TPE1": b"\x00Bj\xf6rk"},
    ],
    ids=["cover", "title that is no UTF-8"],
)
def test_tags_do_not_matter(tags: dict[bytes, bytes]) -> None:
    mp3 = encode(tone(440, seconds=3), "mp3", "libmp3lame")
    np.testing.assert_array_equal(decode(tagged(mp3, tags)), decode(mp3))


NO_AUDIO = (b"la la la\n" * 1000, bytes(10_000), b"RIFF", b"ID3", b"#EXTM3U\na.mp3\n")


@pytest.mark.parametrize("data", [b"", *NO_AUDIO])
def test_bytes_that_are_no_audio(data: bytes) -> None:
    with pytest.raises(AudioError):
        decode(data)


@pytest.mark.parametrize("data", NO_AUDIO)
def test_files_that_are_no_audio(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(data)
    with pytest.raises(AudioError):
        decode(path)


def test_picture_is_no_audio() -> None:
    with pytest.raises(AudioError):
        decode(png())


def test_silent_film_has_no_audio_track() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, mode="w", format="matroska") as film:
        stream = film.add_stream("mpeg4", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), dtype=np.uint8), format="rgb24")))
        film.mux(stream.encode(None))
    with pytest.raises(AudioError, match="no audio track"):
        decode(buffer.getvalue())


def test_wav_without_sound() -> None:
    header_alone = encode(tone(440, seconds=1))[:44]
    with pytest.raises(AudioError):
        decode(header_alone)


def test_wav_without_header() -> None:
    with pytest.raises(AudioError):
        decode(tone(440, seconds=30).tobytes())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("rate", [22_050, 44_100])
def test_samples_that_are_not_finite(rate: int, value: float) -> None:
    original = tone(440, seconds=4, rate=rate)
    original[rate] = value
    with pytest.raises(AudioError, match="NaN or infinite"):
        decode(encode(original, "wav", "pcm_f32le", rate=rate))


@pytest.mark.parametrize("name", DAMAGED)
def test_truncated_file_is_decoded_in_part_or_refused(name: str) -> None:
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
def test_damaged_file_is_decoded_or_refused(name: str) -> None:
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


def test_half_an_mp3_is_half_the_song() -> None:
    data = encode(tone(440, seconds=8), "mp3", "libmp3lame")
    assert len(decode(data[: len(data) // 2])) == pytest.approx(4 * RATE, rel=0.05)


def test_song_over_the_limit() -> None:
    data = encode(tone(440, seconds=5), rate=RATE)
    assert len(decode(data, longest_seconds=5)) == 5 * RATE
    with pytest.raises(AudioError, match=r"over 4\.9 s"):
        decode(data, longest_seconds=4.9)


def test_limit_is_half_an_hour() -> None:
    rate = 1_000  # Hz: few bytes a second
    data = encode(np.zeros(1801 * rate, dtype=np.float32), "wav", "pcm_u8", rate=rate)
    with pytest.raises(AudioError, match="over 1800 s"):
        decode(data)


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decode(tmp_path / "nowhere.mp3")


def song(seconds: float) -> Samples:
    """A song in which every sample tells its place: below 2²⁴, float32 is exact."""
    return np.arange(round(seconds * RATE), dtype=np.float32)


def test_too_short_a_song() -> None:
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
def test_song_of_a_clips_length_is_one_window(seconds: float) -> None:
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
def test_long_song_is_cut(seconds: float, starts: list[float]) -> None:
    assert [window.start for window in windows(song(seconds))] == pytest.approx(starts, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.one_of(st.integers(31 * RATE + 1, 130 * RATE), st.integers(1, 4).map(lambda n: (n + 1) * WINDOW)))
def test_windows_cover_a_long_song(length: int) -> None:
    original = np.arange(length, dtype=np.float32)
    found = windows(original)
    heard = np.zeros(length, dtype=bool)
    for window in found:
        start = round(window.start * RATE)
        assert len(window.samples) == WINDOW
        assert window.samples[0] == start
        assert window.samples[-1] == start + WINDOW - 1
        assert window.end == pytest.approx((start + WINDOW) / RATE)
        heard[start : start + WINDOW] = True
    assert heard.all()
    assert len(found) == -(-length // WINDOW)
    assert [window.start for window in found] == sorted({window.start for window in found})


@pytest.mark.parametrize("seconds", [3, 29, 30, 31])
def test_middle_of_a_short_song_is_all_of_it(seconds: float) -> None:
    middle, (window,) = middle_window(song(seconds)), windows(song(seconds))
    np.testing.assert_array_equal(middle.samples, window.samples)
    assert (middle.start, middle.end) == (window.start, window.end)


@pytest.mark.parametrize("seconds", [31.1, 95, 240])
def test_middle_of_a_long_song(seconds: float) -> None:
    window = middle_window(song(seconds))
    assert len(window.samples) == WINDOW
    assert window.start == pytest.approx(seconds - window.end, abs=1e-4)
    assert window.samples[0] == round(window.start * RATE)
    assert window.end - window.start == pytest.approx(WINDOW / RATE)


def test_window_is_as_long_as_a_clip_of_the_dataset() -> None:
    assert audio.WINDOW == 661_794


def test_playlist_does_not_open_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.wav").write_bytes(encode(tone(440, seconds=4)))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AudioError):
        decode(b"ffconcat version 1.0\nfile secret.wav\n")


def test_hls_playlist_does_not_open_other_files(tmp_path: Path) -> None:
    (tmp_path / "secret.aac").write_bytes(encode(tone(440, seconds=4), "adts", "aac"))
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{tmp_path}/secret.aac\n#EXT-X-ENDLIST\n")
    with pytest.raises(AudioError):
        decode(playlist)


def test_session_description_opens_no_network() -> None:
    start = time.monotonic()
    with pytest.raises(AudioError):
        decode(b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n")
    assert time.monotonic() - start < 5  # s; it would wait for a packet


def test_empty_file_named_mp3(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").touch()
    with pytest.raises(AudioError):
        decode(tmp_path / "song.mp3")


def test_wav_of_64_bit_integers() -> None:
    with pytest.raises(AudioError):
        decode(encode(tone(440, seconds=3), "wav", "pcm_s64le"))


@pytest.mark.parametrize("end", [bytes(5000), b"LYRICSBEGIN" + b"la la " * 200 + b"LYRICS200"])
def test_mp3_with_something_after_the_sound(end: bytes) -> None:
    mp3 = encode(tone(440, seconds=4), "mp3", "libmp3lame")
    assert len(decode(mp3 + end)) == pytest.approx(len(decode(mp3)), abs=0.2 * 22_050)


def test_mp3_with_a_damaged_frame() -> None:
    mp3 = bytearray(encode(tone(440, seconds=8), "mp3", "libmp3lame"))
    mp3[10_000:10_500] = np.random.default_rng(0).bytes(500)
    assert len(decode(bytes(mp3))) == pytest.approx(8 * 22_050, rel=0.05)


def test_double_wav_beyond_float32() -> None:
    samples = tone(440, seconds=3).astype(np.float64)
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + samples.nbytes, b"WAVE", b"fmt ", 16,
                         3, 1, 22_050, 22_050 * 8, 8, 64, b"data", samples.nbytes)  # fmt: skip
    samples[1000] = 1e300
    with pytest.raises(AudioError, match="infinite"):
        decode(header + samples.tobytes())


def test_decoding_ticks_before_each_packet_and_ends_when_the_tick_raises() -> None:
    class EndedError(Exception):
        pass

    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        if ticks == 20:
            raise EndedError

    with pytest.raises(EndedError):
        audio.decode(encode(noise(seconds=10, seed=0), "mp3", "libmp3lame"), tick=tick)
    assert ticks == 20
