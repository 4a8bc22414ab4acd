"""Hostile files: decompression bombs, and polyglots that are valid in several formats."""

import io
import struct
import zlib

import numpy as np
import soundfile  # type: ignore[import-untyped]

from raygenre.audio import encoding
from raygenre.audio.file_type import PNG_SIGNATURE
from tests.helpers.sounds import encode, noise, wav_header

SIDE = 20_000  # pixels per side; Pillow itself rejects images with more than 179 million pixels
BELOW = 12_000  # pixels per side; Pillow would decompress an image of this size, which takes up 576 MB
HOURS = 2 * 3600  # s


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def size(width: int, height: int) -> bytes:
    """Return the PNG chunk that contains the image size."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))


def png(*chunks: bytes, pixels: bytes = bytes(288 * (1 + 4 * 432))) -> bytes:
    return PNG_SIGNATURE + b"".join(chunks) + chunk(b"IDAT", zlib.compress(pixels, 1)) + chunk(b"IEND", b"")


def picture_bombs() -> dict[str, bytes]:
    """Return PNGs that must be rejected before decompression, which would take a lot of memory or time."""
    right, note = size(432, 288), chunk(b"tEXt", b"Comment\0first")
    packed, more = (zlib.compress(bytes(size), 1) for size in (1 << 20, 20 << 20))
    return {
        "huge": png(size(SIDE, SIDE)),
        "largest": png(size(2**31 - 1, 2**31 - 1)),
        "text before a huge size": png(note, size(SIDE, SIDE)),
        "text before a large size": png(note, size(BELOW, BELOW)),
        "text before a large size, with all pixels": png(note, size(6000, 6000), pixels=bytes(6000 * 24_001)),
        "a second, huge size": png(right, size(SIDE, SIDE)),
        "a second, large size": png(right, size(BELOW, BELOW)),
        "a second size after the pixels": png(right, chunk(b"IDAT", zlib.compress(bytes(9))), size(SIDE, SIDE)),
        "more pixels than declared": png(right, pixels=bytes(20_000_000)),
        "texts": png(right, *[chunk(b"zTXt", b"k\0\0" + packed)] * 80),
        "one text": png(right, chunk(b"zTXt", b"k\0\0" + more)),
        "international text": png(right, chunk(b"iTXt", b"k\0\1\0\0\0" + more)),
        "profile": png(right, chunk(b"iCCP", b"k\0\0" + more)),
        "frames": png(
            right,
            chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)),
            chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 432, 288, 0, 0, 1, 1, 0, 0)),
        ),
        "chunks": png(right, chunk(b"prVt", b"") * 10_000),
        "palette without colours": png(chunk(b"IHDR", struct.pack(">IIBBBBB", 432, 288, 8, 3, 0, 0, 1))),
    }


def sound_bombs() -> dict[str, bytes]:
    """Return small files that contain, or claim to contain, hours of audio."""
    silence = np.zeros(HOURS * 1000, dtype=np.int16)
    soundfile.write(flac := io.BytesIO(), silence, 1000, format="FLAC")
    short = np.zeros(8000, dtype=np.float32)
    return {
        "FLAC": flac.getvalue(),
        "MP3": encoding.encode(short, "mp3", "libmp3lame", rate=8000, bit_rate=8000) * 2000,
        "AAC": encode(short, "adts", "aac", rate=8000) * 1000,
        "Opus, many songs in one": encode(np.zeros(48_000, dtype=np.float32), "ogg", "libopus", rate=48_000) * 200,
        "WAV at 1 kHz": wav_header(3_000_000, rate=1000, bits=8) + bytes([128, 129]) * 1_500_000,
        "WAV that claims 4 GB": wav_header(100_000, claimed=2**32 - 1) + bytes(100_000),
        "WAV of 32 767 channels": wav_header(2_000_000, channels=32_767) + bytes(2_000_000),
        "MP4 with repeated references to its audio": repeated(20_000),
        "Matroska, packed": matroska(200),
        "a tag of 256 MB": b"ID3\4\0\0\x7f\x7f\x7f\x7f" + bytes(1000),
        "a picture of 16 MB": b"fLaC\0\0\0\x22" + bytes(34) + b"\x86\xff\xff\xff" + bytes(1000),
    }


def repeated(times: int) -> bytes:
    """Return an MP4 file whose index refers to the same second of audio many times."""
    ftyp = _box(b"ftyp", b"qt  \0\0\2\0qt  ")
    sound = noise(seconds=1, seed=0, rate=8000)
    samples = (sound * 32_767).astype(">i2").tobytes()
    mdat = _box(b"mdat", samples)
    start = len(ftyp) + 8
    entry = bytes(6) + struct.pack(">HHHIHHHHI", 1, 0, 0, 0, 1, 16, 0, 0, 8000 << 16)
    table = [
        _box(b"stsd", struct.pack(">II", 0, 1) + _box(b"twos", entry)),
        _box(b"stts", struct.pack(">IIII", 0, 1, 8000 * times, 1)),
        _box(b"stsc", struct.pack(">IIIII", 0, 1, 1, 8000, 1)),
        _box(b"stsz", struct.pack(">III", 0, 2, 8000 * times)),
        _box(b"stco", struct.pack(">II", 0, times) + struct.pack(">I", start) * times),
    ]
    data = _box(b"dinf", _box(b"dref", struct.pack(">II", 0, 1) + _box(b"url ", b"\0\0\0\1")))
    minf = _box(b"minf", _box(b"smhd", bytes(8)) + data + _box(b"stbl", b"".join(table)))
    mdhd = _box(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, 8000, 8000 * times, 0, 0))
    mdia = _box(b"mdia", mdhd + _box(b"hdlr", bytes(8) + b"soun" + bytes(13)) + minf)
    tkhd = _box(b"tkhd", struct.pack(">IIIII", 1, 0, 0, 1, 0) + bytes(64))
    mvhd = _box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, 1000 * times) + bytes(80))
    return ftyp + mdat + _box(b"moov", mvhd + _box(b"trak", tkhd + mdia))


def matroska(blocks: int) -> bytes:
    """Return a Matroska file with PCM audio in one-minute blocks that are compressed with zlib."""
    compression = _element("5034", _element("4254", b"\0"))
    encodings = _element("6D80", _element("6240", compression))
    sound = _element("E1", _element("B5", struct.pack(">d", 8000)) + _element("9F", b"\1") + _element("6264", b"\x10"))
    fields = _element("D7", b"\1") + _element("73C5", b"\1") + _element("83", b"\2")
    track = _element("AE", fields + _element("86", b"A_PCM/INT/LIT") + sound + encodings)
    packed = zlib.compress(bytes(2 * 8000 * 60))
    block = _element("A3", b"\x81\0\0\x80" + packed)
    cluster = _element("1F43B675", _element("E7", b"\0") + block * blocks)
    header = _element("1A45DFA3", _element("4282", b"matroska"))
    return header + _element("18538067", _element("1654AE6B", track) + cluster)


def polyglots(picture: bytes, song: bytes) -> dict[str, bytes]:
    """Return files that are valid, or appear to be valid, in two formats.

    Args:
        picture: a PNG like those in the dataset.
        song: a WAV file.
    """
    end = 8 + 25  # bytes in the signature and the size chunk
    script = b"<script>alert(1)</script>"
    list_ = b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\nhttp://127.0.0.1:9/song.mp3\n"
    frame = b"APIC" + struct.pack(">IH", len(picture) + 13, 0) + b"\0image/png\0\3\0" + picture
    length = len(frame)
    tag = b"ID3\3\0\0" + bytes(length >> shift & 0x7F for shift in (21, 14, 7, 0)) + frame
    junk = b"JUNK" + struct.pack("<I", len(picture) + len(picture) % 2) + picture + bytes(len(picture) % 2)
    return {
        "picture, then song": picture + song,
        "song, then picture": song + picture,
        "picture within a song": song[:12] + junk + song[12:],
        "picture in a tag before a song": tag + encode(noise(seconds=4, seed=1), "mp3", "libmp3lame"),
        "page in a picture": picture[:end] + chunk(b"tEXt", b"Comment\0" + script) + picture[end:],
        "archive after a picture": picture + b"PK\5\6" + bytes(18),
        "signature of a picture, then song": PNG_SIGNATURE + song,
        "start of a song, then picture": song[:44] + picture,
        "playlist after a tag": b"ID3\3\0\0\0\0\0\0" + list_,
        "playlist as a song": b"fLaC" + list_,
        "reference to another file": _box(b"ftyp", b"qt  \0\0\0\0")
        + _box(b"moov", _box(b"rmra", _box(b"rmda", _box(b"rdrf", b"\0\0\0\0url \0\0\0\x12http://127.0.0.1:9\0")))),
        "HTML": b"<!DOCTYPE html>" + script,
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "archive in an archive": zlib.compress(zlib.compress(bytes(10_000_000))),
        "SDP": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=audio 9 RTP/AVP 0\r\n",
    }


def _box(kind: bytes, content: bytes) -> bytes:
    """Return an MP4 box."""
    return struct.pack(">I", 8 + len(content)) + kind + content


def _element(identity: str, content: bytes) -> bytes:
    """Return a Matroska element."""
    return bytes.fromhex(identity) + b"\1" + len(content).to_bytes(7, "big") + content
