"""Decode audio files to mono samples at 22 050 Hz, and cut songs into windows.

GTZAN's images were computed from such samples. As in librosa.load, channels are averaged before resampling, and soxr
resamples with its high-quality setting. FFmpeg decodes the files through PyAV.

Conventions: samples are mono float32 in [−1, 1] at 22 050 Hz.
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

from raygenre.audio.errors import AudioError
from raygenre.audio.file_type import CONTAINERS

SAMPLE_RATE = 22_050  # Hz
WINDOW = 661_794  # samples: 30.0 s, the length of GTZAN's clips
MAX_SINGLE_WINDOW = 31 * SAMPLE_RATE  # samples; every GTZAN clip is shorter, so each is a single window
MIN_LENGTH = 3 * SAMPLE_RATE  # samples
LONGEST_SECONDS = 1800.0  # s
RATES = range(1_000, 768_001)  # Hz
SILENT_MESSAGE = "the song is silent from beginning to end"  # used if all levels are 0

# Full-scale and zero values of FFmpeg's integer samples; its float samples are already within [−1, 1].
_SCALES = {"uint8": (128.0, 128.0), "int16": (32_768.0, 0.0), "int32": (2_147_483_648.0, 0.0)}
_BLOCK = 1 << 18  # samples resampled at a time
# A non-seekable stream is copied to memory up to the first size, and to disk up to the second.
_MAX_IN_MEMORY, _MAX_COPIED = 1 << 25, 1 << 32  # bytes

_CONVERT = "convert it to FLAC or MP3, or copy it again from its source"


@dataclass(frozen=True)
class Window:
    """A section of a song from which one spectrogram is computed.

    Attributes:
        start: start time in s from the beginning of the song.
        end: end time in s from the beginning of the song.
        samples: float32 (N,), 30 s to 31 s long; a shorter song is repeated to 30 s.
    """

    start: float
    end: float
    samples: NDArray[np.float32]


def decode(
    source: Path | bytes | IO[bytes],
    *,
    longest_seconds: float = LONGEST_SECONDS,
    on_packet: Callable[[], object] = lambda: None,
) -> NDArray[np.float32]:
    """Decode an audio file to samples, float32 (N,) at 22 050 Hz.

    Args:
        source: path, bytes or binary stream. A stream is read from its beginning if it is seekable, otherwise from its
            current position. Streams are left open.
        longest_seconds: maximum duration in s. Decoding stops and the file is rejected once it exceeds this limit.
        on_packet: function to call before each packet is decoded. Any exception that it raises, except OSError and
            ValueError, stops decoding and propagates.

    Raises:
        AudioError: the file is not audio, is damaged, empty or too long, has a sample rate outside 1 to 768 kHz, or
            contains samples that are not finite.
        OSError: the file cannot be opened, or the stream cannot be read.

    Example:
        >>> from raygenre.audio.encoding import encode
        >>> stereo = np.zeros((44_100, 2), dtype=np.float32)  # 1 s
        >>> decode(encode(stereo, "wav", "pcm_s16le", rate=44_100)).shape
        (22050,)
    """
    with _seekable(source) as stream:
        if not stream.read(1):
            raise AudioError("the file is empty; copy it again from its source")
        stream.seek(0)
        try:
            options = {"format_whitelist": CONTAINERS}
            with av.open(stream, mode="r", options=options, metadata_errors="ignore") as container:
                samples = _resampled(container, longest_seconds, on_packet)
        except AudioError:
            raise
        except (av.error.FFmpegError, OSError, ValueError) as error:
            # The file is already open, so an OSError means that FFmpeg failed or that a damaged file made it seek past
            # the end.
            reason = getattr(error, "strerror", None) or error
            raise AudioError(f"the file is not audio that FFmpeg can decode: {reason}; {_CONVERT}") from error
    if samples.size == 0:
        raise AudioError(f"the file contains no audio samples; {_CONVERT}")
    if not np.isfinite(samples).all():
        raise AudioError("the file contains NaN or infinite samples; export it again from the program that made it")
    return samples


def windows(samples: NDArray[np.float32]) -> list[Window]:
    """Cut a song into windows, each of which becomes one spectrogram.

    A song of up to 31 s is a single window, and a song shorter than 30 s is repeated to fill 30 s. A longer song is cut
    every 30 s. If the last window would extend past the end of the song, it is moved back to end there, so the
    windows cover the whole song without padding.

    Args:
        samples: float32 (N,) at 22 050 Hz.

    Raises:
        AudioError: the song is shorter than 3 s.
    """
    length = len(samples)
    if length < MIN_LENGTH:
        raise AudioError(f"the audio lasts {length / SAMPLE_RATE:.1f} s; at least 3 s are needed")
    if length <= MAX_SINGLE_WINDOW:
        repeated = np.resize(samples, WINDOW) if length < 30 * SAMPLE_RATE else samples
        return [Window(0.0, length / SAMPLE_RATE, repeated)]
    starts = [*range(0, length - WINDOW, WINDOW), length - WINDOW]
    return [
        Window(start / SAMPLE_RATE, (start + WINDOW) / SAMPLE_RATE, samples[start : start + WINDOW]) for start in starts
    ]


def middle_window(samples: NDArray[np.float32]) -> Window:
    """Return the window that represents a song: the entire song if it lasts at most 31 s, otherwise its middle 30 s.

    Args:
        samples: float32 (N,) at 22 050 Hz.

    Raises:
        AudioError: the song is shorter than 3 s.
    """
    if len(samples) <= MAX_SINGLE_WINDOW:
        return windows(samples)[0]
    start = (len(samples) - WINDOW) // 2
    return Window(start / SAMPLE_RATE, (start + WINDOW) / SAMPLE_RATE, samples[start : start + WINDOW])


@contextmanager
def _seekable(source: Path | bytes | IO[bytes]) -> Iterator[IO[bytes]]:
    """Open the source as a seekable stream, because some files (such as most M4A files) have their index at the end."""
    with ExitStack() as opened:
        if isinstance(source, bytes):
            stream: IO[bytes] = io.BytesIO(source)
        elif isinstance(source, Path):
            stream = opened.enter_context(source.open("rb"))
        else:
            stream = source
        if not stream.seekable():
            copy = opened.enter_context(tempfile.SpooledTemporaryFile(_MAX_IN_MEMORY))
            while chunk := stream.read(1 << 20):
                if copy.tell() + len(chunk) > _MAX_COPIED:
                    raise AudioError(f"the stream is larger than {_MAX_COPIED / 2**30:g} GiB; split it into parts")
                copy.write(chunk)
            stream = copy
        stream.seek(0)
        yield stream


def _resampled(
    container: av.container.InputContainer, longest_seconds: float, on_packet: Callable[[], object]
) -> NDArray[np.float32]:
    """Decode, mix down and resample block by block, so that peak memory is little more than the result."""
    if not container.streams.audio:
        raise AudioError("the file has no audio track; choose a file that has one")
    codec = container.streams.audio[0].codec_context  # None if FFmpeg has no decoder for it
    if codec is not None and codec.layout.nb_channels == 0:
        raise AudioError(f"the audio has 0 channels; {_CONVERT}")
    resampler: soxr.ResampleStream | None = None
    rate, decoded = 0, 0
    pending: list[NDArray[np.float32]] = []
    resampled: list[NDArray[np.float32]] = []
    for frame in _frames(container, on_packet):
        if resampler is None:
            rate = frame.sample_rate
            if rate not in RATES:
                raise AudioError(f"the sample rate is {rate} Hz; it must be from 1 to 768 kHz; resample it to 44.1 kHz")
            resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        elif frame.sample_rate != rate:
            raise AudioError(
                f"the sample rate changes from {rate} to {frame.sample_rate} Hz within the file; {_CONVERT}"
            )
        pending.append(_mono(frame))
        decoded += frame.samples
        if decoded > longest_seconds * rate:
            raise AudioError(f"the audio lasts over {longest_seconds:g} s, which is the limit; split it into parts")
        if rate != SAMPLE_RATE and sum(map(len, pending)) >= _BLOCK:
            resampled.append(resampler.resample_chunk(np.concatenate(pending)))
            pending = []
    if resampler is None or (not pending and not resampled):
        return np.empty(0, dtype=np.float32)
    rest = np.concatenate(pending) if pending else np.empty(0, dtype=np.float32)
    return rest if rate == SAMPLE_RATE else np.concatenate([*resampled, resampler.resample_chunk(rest, last=True)])


def _frames(container: av.container.InputContainer, on_packet: Callable[[], object]) -> Iterator[av.AudioFrame]:
    """Yield the frames of the first audio track, skipping packets that cannot be decoded, as media players do."""
    for packet in container.demux(audio=0):
        on_packet()
        try:
            for frame in packet.decode():
                if isinstance(frame, av.AudioFrame):
                    yield frame
        except av.error.InvalidDataError:
            continue


def _mono(frame: av.AudioFrame) -> NDArray[np.float32]:
    """Return a decoded frame as float32 (N,), with integers scaled to [−1, 1] and channels averaged."""
    values = frame.to_ndarray()  # planar: (channels, N); packed: (1, N · channels)
    channels = frame.layout.nb_channels
    if channels == 0 or values.size == 0:
        raise AudioError(f"the audio has 0 channels; {_CONVERT}")
    if not frame.format.is_planar:
        values = values.reshape(-1, channels).T
    scale, zero = _SCALES.get(values.dtype.name, (1.0, 0.0))
    with np.errstate(over="ignore", invalid="ignore"):  # `decode` rejects non-finite samples
        scaled = ((values - zero) / scale).astype(np.float32)
    mono: NDArray[np.float32] = scaled[0] if channels == 1 else scaled.mean(axis=0, dtype=np.float32)
    return mono
