"""Decode audio files to mono samples block by block, with bounded memory use.

As in librosa.load, channels are averaged before resampling, and soxr resamples with its high-quality setting. FFmpeg
decodes the files through PyAV.

Conventions: samples are mono float32 in [−1, 1].
"""

import errno
import io
import math
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import av
import numpy as np
import soxr
from av.stream import Disposition
from numpy.typing import NDArray

from raygenre.audio.errors import AudioError, TooLongError
from raygenre.audio.failure import failure_reason, no_track_reason
from raygenre.audio.file_type import CONTAINERS, HEAD_BYTES, identify_audio
from raygenre.audio.mono import CONVERT, Mixer, mono
from raygenre.audio.readable import readable

SAMPLE_RATE = 22_050  # Hz
RATES = range(1_000, 768_001)  # Hz

_AUDIBLE = 1e-4  # peak above which a track counts as audible: −80 dB relative to full scale
_BLOCK = 1 << 18  # samples resampled at a time
# Errors of a drive, network or process rather than of the file.
_READ_ERRORS = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
# A non-seekable stream is held in memory up to the first size and on disk up to the second; a larger one is rejected.
_MAX_IN_MEMORY, _MAX_COPIED = 1 << 25, 1 << 32  # bytes


def blocks(
    source: Path | bytes | IO[bytes],
    *,
    rate: int = SAMPLE_RATE,
    longest_seconds: float = math.inf,
    on_packet: Callable[[], object] = lambda: None,
) -> Generator[NDArray[np.float32], None, None]:
    """Decode an audio file block by block.

    The file is read, and errors are raised, only when blocks are requested. Closing the generator closes the file.

    Args:
        source: path, bytes or binary stream. A stream is read from its beginning if it is seekable, otherwise from its
            current position. Streams are left open.
        rate: sample rate of the result in Hz.
        longest_seconds: maximum duration in s. Decoding stops and the file is rejected once the audio exceeds this
            limit.
        on_packet: function to call before each packet is decoded. Any exception that it raises, except OSError and
            ValueError, stops decoding and propagates.

    Yields:
        blocks of a few seconds each, of varying length, float32 (N,) with N > 0; at least one for every file.

    Raises:
        AudioError: the file is not audio; is damaged, empty or too long (TooLongError); has a sample rate outside the
            range of 1 to 768 kHz; or contains non-finite samples. The blocks before the damaged part are still yielded.
        OSError: the file cannot be opened, or the stream cannot be read.
    """
    is_empty = True
    with seekable(source) as stream:
        head = stream.read(HEAD_BYTES)
        found = identify_audio(head)
        stream = readable(stream, head, found)
        try:
            with ExitStack() as opened:
                container = opened.enter_context(_open(stream))
                if not container.streams.audio:
                    raise AudioError(no_track_reason(stream, found.name))
                index = _track(container, longest_seconds, on_packet)
                if len(container.streams.audio) > 1:  # `_track` has read packets, so the file is opened again
                    container.close()
                    stream.seek(0)
                    container = opened.enter_context(_open(stream))
                for block in _resampled(container, container.streams.audio[index], rate, longest_seconds, on_packet):
                    if not np.isfinite(block).all():
                        raise AudioError(
                            "the file contains NaN or infinite samples; export it again from the program that made it"
                        )
                    if block.size:
                        is_empty = False
                        yield block
        except AudioError:
            raise
        except (av.error.FFmpegError, OSError, ValueError) as error:
            if not isinstance(error, av.error.FFmpegError) and getattr(error, "errno", None) in _READ_ERRORS:
                raise
            # Any other OSError means that FFmpeg failed or that a damaged file made it seek past the end.
            raise AudioError(failure_reason(stream, found.name, error)) from error
    if is_empty:
        raise AudioError(f"the file contains no audio samples; {CONVERT}")


@contextmanager
def seekable(source: Path | bytes | IO[bytes]) -> Iterator[IO[bytes]]:
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


def _open(stream: IO[bytes]) -> av.container.InputContainer:
    return av.open(stream, mode="r", options={"format_whitelist": CONTAINERS}, metadata_errors="ignore")


def _track(container: av.container.InputContainer, longest_seconds: float, on_packet: Callable[[], object]) -> int:
    """Return the index of the audio track to decode: the default track or, if that is silent, the first audible one.

    If there are several tracks, packets are read until the preferred track turns out to contain sound, because even a
    default track may be silent.

    Raises:
        AudioError: FFmpeg has no decoder for any of the tracks.
    """
    tracks = container.streams.audio
    playable = [track for track in tracks if track.codec_context is not None]
    if not playable:
        raise AudioError(f"no decoder supports this audio, which may be encrypted or in a rare format; {CONVERT}")
    playable.sort(key=lambda track: not track.disposition & Disposition.default)
    peaks = dict.fromkeys((track.index for track in playable), 0.0)
    if len(playable) > 1:
        for frame, track in _frames(container, playable, on_packet):
            peaks[track.index] = max(peaks[track.index], float(np.abs(mono(frame)).max(initial=0)))
            if peaks[playable[0].index] > _AUDIBLE or (frame.time or 0) > longest_seconds:
                break
    sounding = [track for track in playable if peaks[track.index] > _AUDIBLE]
    chosen = (sounding or playable)[0]
    if chosen.layout.nb_channels == 0:
        raise AudioError(f"the audio has 0 channels; {CONVERT}")
    return tracks.index(chosen)


def _resampled(
    container: av.container.InputContainer,
    track: av.AudioStream,
    rate: int,
    longest_seconds: float,
    on_packet: Callable[[], object],
) -> Iterator[NDArray[np.float32]]:
    """Decode, mix down and resample a track block by block."""
    resampler: soxr.ResampleStream | None = None
    rate_in, decoded = 0, 0
    mixer = Mixer()
    for frame, _ in _frames(container, [track], on_packet):
        if rate_in == 0:
            rate_in = frame.sample_rate
            if rate_in not in RATES:
                raise AudioError(
                    f"the sample rate is {rate_in} Hz; it must be from 1 to 768 kHz; resample it to 44.1 kHz"
                )
            if rate_in != rate:
                resampler = soxr.ResampleStream(rate_in, rate, 1, dtype="float32", quality="HQ")
        elif frame.sample_rate != rate_in:
            raise AudioError(
                f"the sample rate changes from {rate_in} to {frame.sample_rate} Hz within the file; {CONVERT}"
            )
        mixer.add(frame)
        decoded += frame.samples
        if decoded > longest_seconds * rate_in:
            raise TooLongError.beyond(longest_seconds)
        if mixer.samples >= _BLOCK:
            block = mixer.take()
            yield resampler.resample_chunk(block) if resampler else block
    rest = mixer.take()
    yield resampler.resample_chunk(rest, last=True) if resampler else rest


def _frames(
    container: av.container.InputContainer, tracks: Sequence[av.AudioStream], on_packet: Callable[[], object]
) -> Iterator[tuple[av.AudioFrame, av.AudioStream]]:
    """Yield the frames of audio tracks, skipping packets that cannot be decoded, as media players do."""
    for packet in container.demux(*tracks):
        on_packet()
        try:
            for frame in packet.decode():
                if isinstance(frame, av.AudioFrame) and isinstance(packet.stream, av.AudioStream):
                    yield frame, packet.stream
        except av.error.InvalidDataError:
            continue
