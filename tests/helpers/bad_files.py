"""Files that are not usable audio, each with a pattern that matches the resulting error."""

import numpy as np

from tests.helpers.sounds import encode, tone, wav_header

BAD = {
    "empty": (b"", "the file is empty"),
    "text": (b"la la la\n" * 1000, "neither a PNG nor audio: it is text"),
    "truncated": (encode(tone(440, seconds=8), "mp3", "libmp3lame")[:700], "MP3 file is damaged or cut off"),
    "NaN": (encode(np.full(90_000, np.nan, dtype=np.float32), "wav", "pcm_f32le"), "NaN or infinite"),
    "no channels": (wav_header(90_000, channels=0) + bytes(90_000), "0 channels"),
    "1 Hz": (wav_header(90_000, rate=1) + bytes(90_000), "the sample rate is 1 Hz"),
    "10 MHz": (wav_header(90_000, rate=10_000_000) + bytes(90_000), "the sample rate is 10000000 Hz"),
    "2.9 s": (encode(tone(440, seconds=2.9)), r"lasts 2\.9 s; at least 3 s are needed"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(40), "the PNG is damaged"),
}
