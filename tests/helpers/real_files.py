"""Realistic files in many formats, some damaged or misnamed, and the expected outcome for each."""

import io
import struct
from collections.abc import Callable, Sequence

import av
import numpy as np
import torch

from raygenre.spectrogram.image import write_png
from raygenre.spectrogram.levels import levels
from tests.helpers.sounds import Samples, encode, noise, tone, wav_header

SECONDS = 3.2
RATE = 48_000  # Hz
SOUND = tone(440, seconds=SECONDS, rate=RATE, loudness=0.3) + noise(seconds=SECONDS, seed=0, rate=RATE, loudness=0.05)
SILENCE = np.zeros_like(SOUND)
ICY = b"ICY 200 OK\r\nicy-name: Radio\r\ncontent-type: audio/mpeg\r\n\r\n"
_GUID = bytes.fromhex("0100000000001000800000aa00389b71")  # the GUID for PCM


def sound(container: str, codec: str) -> bytes:
    return encode(SOUND, container, codec, rate=RATE)


def frames(container: str, codec: str) -> bytes:
    """Return the MPEG or ADTS frames of an encoded file, without the tag that precedes them."""
    data = sound(container, codec)
    return data[data.index(b"\xff", 10 if data.startswith(b"ID3") else 0) :]


def mp3_frames() -> bytes:
    return frames("mp3", "libmp3lame")


def opus_without_first_page() -> bytes:
    data = sound("ogg", "libopus")
    return data[data.index(b"OggS", 4) :]


def id3(size: int) -> bytes:
    """Return an ID3 tag with `size` bytes of padding."""
    return b"ID3\4\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)


def tracks(
    sounds: Sequence[Samples], container: str, codec: str, *, default: int | None = None, video: bool = False
) -> bytes:
    """Return a file with several audio tracks.

    Args:
        default: number of the track marked as the default.
        video: whether the file also has a video track.
    """
    buffer = io.BytesIO()
    with av.open(buffer, mode="w", format=container) as file:
        streams = []
        if video:
            picture = file.add_stream("mpeg4", rate=25)
            assert isinstance(picture, av.VideoStream)
            picture.width = picture.height = 64
            picture.pix_fmt = "yuv420p"
        for number, _ in enumerate(sounds):
            stream = file.add_stream(codec, rate=RATE)
            assert isinstance(stream, av.AudioStream)
            stream.layout = "mono"
            stream.disposition = av.stream.Disposition.default if number == default else av.stream.Disposition(0)
            streams.append(stream)
        if video:
            for _ in range(5):
                pixels = np.zeros((64, 64, 3), dtype=np.uint8)
                file.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            file.mux(picture.encode(None))
        for stream, samples in zip(streams, sounds, strict=True):
            frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, 0
            file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    return buffer.getvalue()


def big_endian_wav(samples: Samples, *, code: int = 1) -> bytes:
    data = (samples * 32_767).astype(">i2").tobytes()
    fields = (36 + len(data), b"WAVE", b"fmt ", 16, code, 1, RATE, 2 * RATE, 2, 16, b"data", len(data))
    return struct.pack(">4sI4s4sIHHIIHH4sI", b"RIFX", *fields) + data


def padded_wav(samples: Samples, *, is_extensible: bool = True, shift: int = 8) -> bytes:
    """Return a WAV file with 24-bit integers stored in 32 bits.

    Args:
        is_extensible: whether to use the newer kind of header, which states both bit counts.
        shift: 8 to use the upper 24 bits, 0 to use the lower ones.
    """
    data = ((samples * (2**23 - 1)).astype("<i4") << shift).astype("<i4").tobytes()
    if not is_extensible:
        header = bytearray(wav_header(len(data), rate=RATE, bits=32))
        header[34] = 24
        return bytes(header) + data
    fields = (b"WAVE", b"fmt ", 40, 0xFFFE, 1, RATE, 4 * RATE, 4, 32, 22, 24, 0, _GUID, b"data", len(data))
    return struct.pack("<4sI4s4sIHHIIHHHHI16s4sI", b"RIFF", 60 + len(data), *fields) + data


def dsf() -> bytes:
    """Return a DSD file: 1-bit samples at 64 times 44.1 kHz, whose running mean is the sound."""
    rate = 64 * 44_100
    time = np.arange(rate // 10) / rate
    total = np.floor(np.cumsum(0.5 + 0.25 * np.sin(2 * np.pi * 440 * time)))
    bits = np.packbits(np.diff(total, prepend=0).astype(np.uint8), bitorder="little").tobytes() * round(10 * SECONDS)
    data = bits.ljust(-(-len(bits) // 4096) * 4096, b"\x69")
    start = b"DSD " + struct.pack("<QQQ", 28, 28 + 52 + 12 + len(data), 0)
    layout = b"fmt " + struct.pack("<QIIIIIIQII", 52, 1, 0, 1, 1, rate, 1, 8 * len(bits), 4096, 0)
    return start + layout + b"data" + struct.pack("<Q", 12 + len(data)) + data


ANSWERED: dict[str, Callable[[], bytes]] = {
    "16 bit.wav": lambda: sound("wav", "pcm_s16le"),
    "float.wav": lambda: sound("wav", "pcm_f32le"),
    "wave64.w64": lambda: sound("w64", "pcm_s16le"),
    "flac.flac": lambda: sound("flac", "flac"),
    "mpeg.mp3": lambda: sound("mp3", "libmp3lame"),
    "mpeg.mp2": lambda: sound("mp2", "mp2"),
    "adts.aac": lambda: sound("adts", "aac"),
    "vorbis.ogg": lambda: sound("ogg", "libvorbis"),
    "flac.oga": lambda: sound("oga", "flac"),
    "opus.opus": lambda: sound("opus", "libopus"),
    "opus.ogv": lambda: sound("ogv", "libopus"),
    "lossless.m4a": lambda: sound("ipod", "alac"),
    "book.m4b": lambda: sound("ipod", "aac"),
    "film.mp4": lambda: tracks([SOUND], "mp4", "aac", video=True),
    "film.mkv": lambda: tracks([SOUND], "matroska", "libmp3lame", video=True),
    "film.mov": lambda: tracks([SOUND], "mov", "aac", video=True),
    "film.avi": lambda: tracks([SOUND], "avi", "libmp3lame", video=True),
    "audio.mka": lambda: sound("matroska", "flac"),
    "audio.webm": lambda: sound("webm", "libopus"),
    "audio.wma": lambda: sound("asf", "wmav2"),
    "audio.aiff": lambda: sound("aiff", "pcm_s16be"),
    "audio.aifc": lambda: sound("aiff", "pcm_mulaw"),
    "audio.au": lambda: sound("au", "pcm_s16be"),
    "audio.caf": lambda: sound("caf", "pcm_s16be"),
    "audio.wv": lambda: sound("wv", "wavpack"),
    "audio.tta": lambda: sound("tta", "tta"),
    "audio.ac3": lambda: sound("ac3", "ac3"),
    "audio.eac3": lambda: sound("eac3", "eac3"),
    "audio.dsf": lambda: dsf(),
    "audio.voc": lambda: sound("voc", "pcm_s16le"),
    "recorder.amr": lambda: encode(tone(440, seconds=SECONDS, rate=8000), "amr", "libopencore_amrnb", rate=8000),
    "first track silent.mkv": lambda: tracks([SILENCE, SOUND], "matroska", "flac", default=1),
    "first track silent, none marked.mka": lambda: tracks([SILENCE, SOUND], "matroska", "flac"),
    "default track silent.m4a": lambda: tracks([SILENCE, SOUND], "ipod", "aac", default=0),
    "radio.mp3": lambda: ICY + mp3_frames(),
    "radio.aac": lambda: ICY + frames("adts", "aac"),
    "zeros first.mp3": lambda: bytes(60_000) + mp3_frames(),
    "cut within a frame.mp3": lambda: mp3_frames()[200:],
    "large tag.mp3": lambda: id3(300_000) + mp3_frames(),
    "tag.flac": lambda: id3(1000) + sound("flac", "flac"),
    "byte order mark.wav": lambda: b"\xef\xbb\xbf" + sound("wav", "pcm_s16le"),
    "24 bits in 32.wav": lambda: padded_wav(SOUND),
    "big-endian.wav": lambda: big_endian_wav(SOUND),
    "really mp3.wav": lambda: mp3_frames(),
    "really flac.ogg": lambda: sound("flac", "flac"),
    "really png.mp3": lambda: write_png(levels(torch.from_numpy(tone(440, seconds=30))).numpy()),
}
"""Files that can be classified, by name."""

REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.mp3": (lambda: b"", "the file is empty"),
    "text.mp3": (lambda: b"la la la\n" * 1000, "it is text"),
    "download.mp3": (lambda: b"<!DOCTYPE html><title>Sign in</title>", "it is a web page"),
    "pointer.flac": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "run `git lfs pull`"),
    "cover.mp3": (lambda: b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(500), "it is a JPEG image"),
    "album.mp3": (lambda: b"PK\3\4" + mp3_frames(), "it is a ZIP archive; unpack it"),
    "notes.wav": (lambda: b"MThd\0\0\0\6\0\0\0\1\0\x60", "it is a MIDI file, which contains notes but no sound"),
    "film.mp3": (lambda: sound("mpegts", "mp2"), "it is an MPEG transport stream; convert it to FLAC or MP3"),
    "playlist.mp3": (lambda: b"#EXTM3U\nhttp://127.0.0.1:9/secret.mp3\n", "it is a playlist"),
    "zeros.mp3": (lambda: bytes(200_000), "it begins with 131072 zero bytes"),
    "no first page.ogg": (lambda: opus_without_first_page(), "the Ogg file lacks its first page"),
    "cut off.m4a": (lambda: sound("ipod", "aac")[:20_000], "the MP4 file is cut off before its index"),
    "header only.wav": (lambda: sound("wav", "pcm_s16le")[:44], "the WAV file is damaged or cut off"),
    "damaged.flac": (lambda: b"fLaC" + bytes(50_000), "the FLAC file is damaged or cut off"),
    "big-endian.wav": (
        lambda: big_endian_wav(SOUND, code=2),
        "a big-endian WAV (RIFX) with 16-bit samples of format 2",
    ),
    "film without sound.mkv": (lambda: tracks([], "matroska", "flac", video=True), "the file has no audio track"),
    "short.wav": (lambda: encode(SOUND[:RATE], rate=RATE), "lasts 1.0 s; at least 3 s are needed"),
    "silent.wav": (lambda: encode(SILENCE, rate=RATE), "silent from beginning to end"),
    "not a number.wav": (
        lambda: encode(np.full(90_000, np.nan, dtype=np.float32), "wav", "pcm_f32le"),
        "NaN or infinite samples",
    ),
}
"""Files that are rejected, by name, each with part of the reason."""
