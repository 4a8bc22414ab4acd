"""Find the first frame of MPEG audio or ADTS, which have no header before the audio.

MPEG audio comprises MP3, MP2 and MP1; ADTS contains AAC.

Such files often begin with something else: the headers of a web radio's response, zeros, or the end of a truncated
frame. Each frame states its length, so a real frame can be recognised by the frames that follow it.
"""

import re

CHAIN = 3  # number of consecutive frames that must be found
# An 11-bit sync word, then a valid version, layer, bit rate and sample rate; for ADTS, 12 bits, then layer 0.
_MPEG = rb"[\xe2-\xe7\xf2-\xf7\xfa-\xff][\x10-\xef]"
_ADTS = rb"[\xf0\xf1\xf8\xf9]"
_SYNC = re.compile(rb"\xff(?:" + _MPEG + rb"|" + _ADTS + rb")", re.DOTALL)
# Bit rates in kbit/s for the indices 1 to 14.
_RATES_1 = (tuple(range(32, 449, 32)),
            (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
            (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320))  # fmt: skip
_RATES_2 = ((32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
            (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
            (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160))  # fmt: skip
_SAMPLE_RATES = (44_100, 48_000, 32_000)  # Hz, for MPEG 1; halved for MPEG 2 and quartered for MPEG 2.5


def find_frames(data: bytes, *, is_whole: bool) -> tuple[str, int] | None:
    """Return the format, `MP3` or `AAC`, and the index of the first frame; None if no frame is found.

    Args:
        is_whole: whether the data is the whole file. If so, fewer than `CHAIN` frames may suffice.
    """
    for match in _SYNC.finditer(data):
        start = position = match.start()
        kind, length = _frame(data, position)
        count = 0
        while length:
            count += 1
            position += length
            if count == CHAIN or position + 6 > len(data):
                break
            following, length = _frame(data, position)
            if following != kind:
                length = 0
        if count == CHAIN or (length and (start == 0 or (is_whole and count > 1))):
            return ("AAC" if kind[0] & 6 == 0 else "MP3"), start
    return None


def _frame(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    """Return the header fields that all frames of a stream share, and the frame's length in bytes (0 if invalid)."""
    header = data[position : position + 6].ljust(6, b"\0")
    if header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return (0, 0), 0
    if header[1] & 0xF6 == 0xF0:
        length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
        is_valid = length > 7 and header[2] >> 2 & 15 < 13
        return (header[1], header[2] & 0xFC), length if is_valid else 0
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    rate_index, bit_rate_index = header[2] >> 2 & 3, header[2] >> 4
    if version == 1 or layer == 4 or rate_index == 3 or bit_rate_index in (0, 15):
        return (0, 0), 0
    rate = _SAMPLE_RATES[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
    bit_rate = 1000 * (_RATES_1 if version == 3 else _RATES_2)[layer - 1][bit_rate_index - 1]
    padding = header[2] >> 1 & 1
    if layer == 1:
        length = (12 * bit_rate // rate + padding) * 4
    else:
        length = (72 if layer == 3 and version != 3 else 144) * bit_rate // rate + padding
    return (header[1] & 0xFE, header[2] & 0x0C), length
