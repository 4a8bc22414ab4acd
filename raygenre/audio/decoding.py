"""Decode any audio file to the samples that the dataset's images are drawn from, and cut songs into windows.

Conventions: mono float32 in [−1, 1] at 22 050 Hz. Decoding is FFmpeg's (PyAV), channels are averaged before
resampling, resampling is soxr's high quality: the way librosa.load takes.
"""

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from raygenre.errors import RaygenreError

SUFFIXES = frozenset(
    {
        ".wav",
        ".flac",
        ".mp3",
        ".ogg",
        ".oga",
        ".opus",
        ".m4a",
        ".aac",
        ".wma",
        ".webm",
        ".au",
        ".aif",
        ".aiff",
    }
)
SAMPLE_RATE = 22_050  # Hz
WINDOW = 661_794  # samples: 30.0 s as the dataset's clips have them
LONGEST_WHOLE = 31 * SAMPLE_RATE  # samples; every clip of the dataset is shorter and is drawn whole
SHORTEST = 3 * SAMPLE_RATE  # samples
LONGEST_SECONDS = 1800.0  # s
# FFmpeg's names. Its other formats include playlists and session descriptions, which open further files and sockets.
CONTAINERS = "aac,aiff,asf,au,flac,matroska,mov,mp3,ogg,wav,webm"
RATES = range(1_000, 768_001)  # Hz
SILENT = "the song is silent from beginning to end"  # what is said of one that has nothing but level 0

# Full scale and silence of FFmpeg's integer samples; float ones are within [−1, 1] already.
_SCALES = {"uint8": (128.0, 128.0), "int16": (32_768.0, 0.0), "int32": (2_147_483_648.0, 0.0)}
_BLOCK = 1 << 18  # samples resampled at a time
_IN_MEMORY, _MOST_COPIED = 1 << 25, 1 << 32  # bytes of a stream that cannot seek: before they go to disk, and at most

_CONVERT = "convert it to FLAC or MP3, or copy it again from where it came"


class AudioError(RaygenreError, ValueError):
    """A file holds no audio that can be used; the message says why."""


@dataclass(frozen=True)
class Window:
    """A stretch of a song, long enough for one spectrogram.

    Attributes:
        start: s from the beginning of the song.
        end: s from the beginning of the song.
        samples: float32 (N,), N between 30 s and 31 s; a shorter song repeated to 30 s.
    """

    start: float
    end: float
    samples: NDArray[np.float32]


def decode(
    source: Path | bytes | IO[bytes],
    *,
    longest_seconds: float = LONGEST_SECONDS,
    tick: Callable[[], object] = lambda: None,
) -> NDArray[np.float32]:
    """Decode a file, given by path, as its bytes or as a stream of them, to float32 (N,) at 22 050 Hz.

    Args:
        source: a stream is read from its beginning if it can seek, else from where it stands, and is left open.
        longest_seconds: s of sound after which a file is refused, before the rest of it is decoded.
        tick: called before each packet is decoded; what it raises, if it is no OSError or ValueError, ends the
            decoding and comes out as it is.

    Raises:
        AudioError: not audio, damaged, empty, over long, at a rate outside 1 to 768 kHz, or not finite.
        OSError: the file cannot be opened, or the stream cannot be read.
    """
    with _opened(source) as stream:
        if not stream.read(1):
            raise AudioError("the file is empty; copy it again from where it came")
        stream.seek(0)
        try:
            options = {"format_whitelist": CONTAINERS}
            with av.open(stream, mode="r", options=options, metadata_errors="ignore") as container:
                samples = _resampled(container, longest_seconds, tick)
        except AudioError:
            raise
        except (av.error.FFmpegError, OSError, ValueError) as error:
            # The file is open already: an OSError is FFmpeg's, or of a seek to where no damaged file reaches.
            reason = getattr(error, "strerror", None) or error
            raise AudioError(f"the file is not audio that FFmpeg can decode: {reason}; {_CONVERT}") from error
    if samples.size == 0:
        raise AudioError(f"the file holds no sound; {_CONVERT}")
    if not np.isfinite(samples).all():
        raise AudioError("the file holds samples that are NaN or infinite; export it again from the program it is of")
    return samples


def windows(samples: NDArray[np.float32]) -> list[Window]:
    """Cut a song into the stretches that are drawn as one spectrogram each.

    Up to 31 s is one window. A longer song is cut every 30 s, and a last window that would reach past the end is
    moved back to end with the song, so that all of it is heard and none is padded. From 3 s to 30 s the song is
    repeated to 30 s.

    Args:
        samples: float32 (N,) at 22 050 Hz.

    Raises:
        AudioError: shorter than 3 s.
    """
    length = len(samples)
    if length < SHORTEST:
        raise AudioError(f"the audio lasts {length / SAMPLE_RATE:.1f} s; at least 3 s are needed")
    if length <= LONGEST_WHOLE:
        whole = np.resize(samples, WINDOW) if length < 30 * SAMPLE_RATE else samples
        return [Window(0.0, length / SAMPLE_RATE, whole)]
    starts = [*range(0, length - WINDOW, WINDOW), length - WINDOW]
    return [
        Window(start / SAMPLE_RATE, (start + WINDOW) / SAMPLE_RATE, samples[start : start + WINDOW]) for start in starts
    ]


def middle_window(samples: NDArray[np.float32]) -> Window:
    """Return the one window that stands for a whole song: all of it up to 31 s, else its middle 30 s.

    Raises:
        AudioError: shorter than 3 s.
    """
    if len(samples) <= LONGEST_WHOLE:
        return windows(samples)[0]
    start = (len(samples) - WINDOW) // 2
    return Window(start / SAMPLE_RATE, (start + WINDOW) / SAMPLE_RATE, samples[start : start + WINDOW])


@contextmanager
def _opened(source: Path | bytes | IO[bytes]) -> Iterator[IO[bytes]]:
    """The source as a stream at its beginning that can seek: some files, most M4A among them, end with their index."""
    with ExitStack() as ours:
        if isinstance(source, bytes):
            stream: IO[bytes] = io.BytesIO(source)
        elif isinstance(source, Path):
            stream = ours.enter_context(source.open("rb"))
        else:
            stream = source
        if not stream.seekable():
            copy = ours.enter_context(tempfile.SpooledTemporaryFile(_IN_MEMORY))
            while part := stream.read(1 << 20):
                if copy.tell() + len(part) > _MOST_COPIED:
                    raise AudioError(f"the stream goes on beyond {_MOST_COPIED / 2**30:g} GiB; cut it into parts")
                copy.write(part)
            stream = copy
        stream.seek(0)
        yield stream


def _resampled(
    container: av.container.InputContainer, longest_seconds: float, tick: Callable[[], object]
) -> NDArray[np.float32]:
    """Decode, mix down and resample in a stream, so that memory holds the result and little more."""
    if not container.streams.audio:
        raise AudioError("the file has no audio track; choose a song")
    codec = container.streams.audio[0].codec_context  # None where FFmpeg has no such decoder
    if codec is not None and codec.layout.nb_channels == 0:
        raise AudioError(f"the audio has 0 channels; {_CONVERT}")
    resampler: soxr.ResampleStream | None = None
    rate, decoded = 0, 0
    waiting: list[NDArray[np.float32]] = []
    done: list[NDArray[np.float32]] = []
    for frame in _frames(container, tick):
        if resampler is None:
            rate = frame.sample_rate
            if rate not in RATES:
                raise AudioError(f"the sample rate is {rate} Hz; it must be from 1 to 768 kHz: resample it to 44.1 kHz")
            resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        elif frame.sample_rate != rate:
            raise AudioError(f"the sample rate changes from {rate} to {frame.sample_rate} Hz on the way; {_CONVERT}")
        waiting.append(_mono(frame))
        decoded += frame.samples
        if decoded > longest_seconds * rate:
            raise AudioError(f"the audio lasts over {longest_seconds:g} s, which is the limit; cut it into parts")
        if rate != SAMPLE_RATE and sum(map(len, waiting)) >= _BLOCK:
            done.append(resampler.resample_chunk(np.concatenate(waiting)))
            waiting = []
    if resampler is None or (not waiting and not done):
        return np.empty(0, dtype=np.float32)
    rest = np.concatenate(waiting) if waiting else np.empty(0, dtype=np.float32)
    return rest if rate == SAMPLE_RATE else np.concatenate([*done, resampler.resample_chunk(rest, last=True)])


def _frames(container: av.container.InputContainer, tick: Callable[[], object]) -> Iterator[av.AudioFrame]:
    """The frames of the first audio track; packets that are not decodable are passed over, as players do."""
    for packet in container.demux(audio=0):
        tick()
        try:
            for frame in packet.decode():
                if isinstance(frame, av.AudioFrame):
                    yield frame
        except av.error.InvalidDataError:
            continue


def _mono(frame: av.AudioFrame) -> NDArray[np.float32]:
    """One decoded frame as float32 (N,): integer formats scaled to [−1, 1], channels averaged."""
    values = frame.to_ndarray()  # planar: (channels, N); packed: (1, N · channels)
    channels = frame.layout.nb_channels
    if channels == 0 or values.size == 0:
        raise AudioError(f"the audio has 0 channels; {_CONVERT}")
    if not frame.format.is_planar:
        values = values.reshape(-1, channels).T
    scale, zero = _SCALES.get(values.dtype.name, (1.0, 0.0))
    with np.errstate(over="ignore", invalid="ignore"):  # such samples are refused at the end
        scaled = ((values - zero) / scale).astype(np.float32)
    mono: NDArray[np.float32] = scaled[0] if channels == 1 else scaled.mean(axis=0, dtype=np.float32)
    return mono
