"""Generate random invalid requests from seeds: damaged and hostile files, and malformed HTTP."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from tests.helpers.open_inference import HEADER_LENGTH, binary_request, pack
from tests.helpers.raw import RawRequest, chunk, head, plain

PREDICT = "/v1/predict"
FORM = b"Content-Type: multipart/form-data; boundary=b"
CHUNKED = b"Transfer-Encoding: chunked"
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="\xff"\r\n\r\n'
MAX_BODY = 4_000_000  # bytes; the endpoint's limit in the tests


@dataclass(frozen=True)
class Corpus:
    """The files from which requests are generated.

    Attributes:
        good: valid files.
        hostile: decompression bombs and polyglots.
    """

    good: list[bytes]
    hostile: list[bytes]


def generate(seed: int, corpus: Corpus) -> RawRequest:
    """Return the request generated from a seed."""
    chance = random.Random(seed)
    [kind] = chance.choices(list(KINDS), list(KINDS.values()))
    return kind(chance, corpus)


def damaged(chance: random.Random, data: bytes, files: list[bytes]) -> bytes:
    """Return the file with one kind of random damage."""
    body = bytearray(data)
    start, end = sorted(chance.randrange(len(body)) for _ in range(2))
    match chance.randrange(8):
        case 0:
            return bytes(body[:start])
        case 1:
            for _ in range(chance.randint(1, 50)):
                body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
        case 2:  # damage in the header, which decoders trust
            for _ in range(chance.randint(1, 8)):
                body[chance.randrange(min(len(body), 200))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
        case 3:
            body[start:end] = bytes(end - start)
        case 4:
            donor = chance.choice(files)
            body[start:] = donor[chance.randrange(len(donor)) :]
        case 5:
            body[start:start] = body[start:end] * 3
        case 6:
            body += chance.choice(files)
        case 7:
            body[:0] = chance.randbytes(chance.randint(1, 64))
    return bytes(body)


def file(chance: random.Random, corpus: Corpus) -> RawRequest:
    """A file, usually damaged, with an arbitrary content type."""
    body = chance.choice(corpus.good)
    body = body if chance.random() < 0.05 else damaged(chance, body, corpus.good)
    kind = chance.choice((b"", b"image/png", b"text/plain", b"multipart/form-data", b"multipart/form-data; boundary=b"))
    path = chance.choice((PREDICT, PREDICT, f"/v1/spectrogram?window={chance.randint(0, 2)}"))
    fields = [b"Content-Type: " + kind] if chance.random() < 0.5 else []
    return plain("POST", path, body, *fields)


def junk(chance: random.Random, corpus: Corpus) -> RawRequest:
    return plain("POST", PREDICT, chance.randbytes(chance.randint(0, 3000)))


def hostile(chance: random.Random, corpus: Corpus) -> RawRequest:
    """A bomb or polyglot, sent as the body, in a form, or in chunks."""
    body = chance.choice(corpus.hostile)
    path = chance.choice((PREDICT, "/v1/spectrogram"))
    match chance.randrange(4):
        case 0:
            return plain("POST", path, PART + body + b"\r\n--b--\r\n", FORM)
        case 1:
            return RawRequest(
                (head("POST", path, CHUNKED), *[chunk(part) for part in _cut(chance, body, 20)], chunk(b""))
            )
        case 2:
            return plain("POST", path, body, b"Content-Encoding: " + chance.choice((b"gzip", b"br", b"\xff")))
    return plain("POST", path, body)


def form(chance: random.Random, corpus: Corpus) -> RawRequest:
    """A malformed multipart form."""
    body = damaged(chance, chance.choice(corpus.good), corpus.good)
    end, field = b"\r\n--b--\r\n", FORM
    match chance.randrange(8):
        case 0:
            end = chance.choice((b"\r\n--b\r\n", b"", b"\n--b--", b"--b--", b"\r\n--b--\r\n--b--\r\n", b"\r\n--b- -"))
        case 1:
            body += b"\r\n" + PART * chance.randint(1, 20)
        case 2:
            body = b"\r\n".join([PART] * chance.randint(0, 3000))
        case 3:
            boundary = chance.choice((b"", b'"', b'""', b"b;b", b"\xff", b"B", b"b" * 71, b"b\0", b"=?utf-8?q?b?="))
            field = b"Content-Type: multipart/form-data; boundary=" + boundary
        case 4:
            name = chance.choice((b"", b"file\0", b"FILE", b"\xff\xfe", b"a" * 9000, b'file"; name="other'))
            body = b'--b\r\nContent-Disposition: form-data; name="' + name + b'"\r\n\r\n' + body
        case 5:
            lines = b"".join(b"X-%d: y\r\n" % number for number in range(chance.randint(1, 3000)))
            body = b"--b\r\n" + lines + b"\r\n" + body
        case 6:
            return plain("POST", PREDICT, damaged(chance, PART + body + end, corpus.good), field)
    return plain("POST", PREDICT, PART + body + end, field)


def protocol(chance: random.Random, corpus: Corpus) -> RawRequest:
    """A request in another protocol, usually malformed."""
    body, fields = binary_request("file", "BYTES", [1], pack([chance.choice(corpus.good)]))
    match chance.randrange(5):
        case 0:
            fields[HEADER_LENGTH] = chance.choice(("", "-1", "0", "5", "9" * 30, "1e2", "²", str(len(body))))
        case 1:
            body = damaged(chance, body[: int(fields[HEADER_LENGTH])], corpus.good) + body[int(fields[HEADER_LENGTH]) :]
        case 2:
            body = damaged(chance, body, corpus.good)
        case 3:
            value: bytes = chance.choice(
                (b"[", b"{", b'"', b"1e999", b"-", b"null,", b'{"inputs":', b"\\ud800", b"\xff")
            )
            start = b'{"inputs":[' if chance.random() < 0.5 else b""
            path = chance.choice(("/invocations", "/v2/models/raygenre/infer"))
            return plain("POST", path, start + value * chance.randint(1, 3000), b"Content-Type: application/json")
    lines = [f"{name}: {value}".encode("latin-1") for name, value in fields.items()]
    return plain("POST", "/v2/models/raygenre/infer", body, *lines)


def query(chance: random.Random, corpus: Corpus) -> RawRequest:
    window = chance.choice(("-1", "x", "9" * 5000, "1e9", "%00", "", "0&window=1", "%ff", "١", "\xff"))
    return plain("POST", f"/v1/spectrogram?window={window}".encode().decode("latin-1"), chance.choice(corpus.good))


def elsewhere(chance: random.Random, corpus: Corpus) -> RawRequest:
    method = chance.choice(("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "POST"))
    paths = (
        PREDICT,
        "/",
        "/docs",
        "/readyz",
        "/v1/model",
        "/v2/models",
        "/v2/models/x/",
        "/invocations",
        "/%00",
        "/v1/../healthz",
        "//",
        "/\xff",
        "/" + "a" * 9000,
    )
    path = chance.choice((*paths, "*", "http://here/readyz", "/page/%2e%2e%2fapp.py"))
    return plain(method, path, b"")


def header(chance: random.Random, corpus: Corpus) -> RawRequest:
    """A header field with an invalid value, usually a field that servers read."""
    names = (b"X-Request-ID", b"X-Request-Timeout-Seconds", b"X-Request-Disconnect-Disabled", b"Authorization")
    more = (b"serve_multiplexed_model_id", b"Content-Type", b"X-API-Key", b"Cookie", b"Origin", b"Expect", b"Accept")
    name = chance.choice((*names, *more, b"X-Session-ID", b"traceparent", b"Host", b"Connection", b"Range"))
    values = (b"\xe9", b"\xff\xfe", b"", b"a" * 5000, b"nan", b"inf", b"-1", b"0", b"1e-3", b"?1", b"100-continue")
    value = chance.choice((*values, b"\xc3\xa9", b"\t", bytes(chance.choices(range(0x21, 0x100), k=30)), b"close"))
    path = chance.choice((PREDICT, "/readyz", "/nowhere"))
    return plain("POST" if path == PREDICT else "GET", path, chance.choice(corpus.good), name + b": " + value)


def chunked(chance: random.Random, corpus: Corpus) -> RawRequest:
    """A body in chunks, usually malformed."""
    parts = _cut(chance, chance.choice(corpus.good), 8)
    chunks = [chunk(part) for part in parts]
    place = chance.randrange(len(chunks))
    fields, end = [CHUNKED], chunk(b"")
    match chance.randrange(8):
        case 0:
            size = chance.choice((b"-1", b"zz", b"", b"F" * 30, b"0x10", b" 10", b"7fffffffffffffff"))
            chunks[place] = size + b"\r\n" + parts[place] + b"\r\n"
        case 1:
            chunks[place] = chunks[place][:-2]
        case 2:
            chunks[place] = b"%X;name=\xff\r\n" % len(parts[place]) + parts[place] + b"\r\n"
        case 3:
            end = b"0\r\nX-Request-ID: \xe9\r\nX: " + b"y" * 9000 + b"\r\n\r\n"
        case 4:
            fields.append(b"Content-Length: 5")
        case 5:
            fields = [
                b"Transfer-Encoding: " + chance.choice((b"gzip, chunked", b"chunked, gzip", b"identity", b"\xff"))
            ]
        case 6:
            end = b""
    whole = [head("POST", PREDICT, *fields), *chunks, end]
    # Without a last chunk, the server does not respond, so the client disconnects.
    return RawRequest(tuple(whole), disconnects=not end)


def length(chance: random.Random, corpus: Corpus) -> RawRequest:
    """A body whose length differs from its Content-Length."""
    body = chance.choice(corpus.good)
    lengths = (b"0", b"5", b"-1", b"+5", b"1e3", b"0x10", b"9" * 30, b"%d" % (MAX_BODY + 1), b"", b"\xb2", b"5, 5")
    fields = [b"Content-Length: " + chance.choice(lengths)]
    match chance.randrange(4):
        case 0:
            fields *= 2
        case 1:
            fields = []
        case 2:
            fields = [b"Content-Length: %d" % (len(body) + 1)]
            return RawRequest((head("POST", PREDICT, *fields) + body,), disconnects=True)
    return RawRequest((head("POST", PREDICT, *fields) + body,))


def overlong(chance: random.Random, corpus: Corpus) -> RawRequest:
    """A body that exceeds the size limit, sent in chunks or with a Content-Length, and sometimes as a form."""
    pieces = [chance.choice(corpus.good)[:100]] + [bytes(1 << 18)] * (MAX_BODY // (1 << 18) + 4)
    if chance.random() < 0.5:
        pieces[0] = PART + pieces[0]
    fields = [FORM] if chance.random() < 0.5 else []
    if chance.random() < 0.7:
        return RawRequest((head("POST", PREDICT, CHUNKED, *fields), *map(chunk, pieces), chunk(b"")))
    return RawRequest((head("POST", PREDICT, b"Content-Length: %d" % sum(map(len, pieces)), *fields), *pieces))


def slow(chance: random.Random, corpus: Corpus) -> RawRequest:
    """A request whose headers, body or chunks are sent slowly in small pieces; some requests never end."""
    body = chance.choice(corpus.good)
    match chance.randrange(4):
        case 0:
            start = head("POST", PREDICT, b"Content-Length: %d" % len(body))
            cut = [start[place : place + 8] for place in range(0, len(start), 8)]
            return RawRequest((*cut, body), pause=0.02)
        case 1:
            chunks = [chunk(bytes([byte])) for byte in body[:20]]
            return RawRequest((head("POST", PREDICT, CHUNKED), *chunks, chunk(body[20:]), chunk(b"")), pause=0.02)
        case 2:
            parts = _cut(chance, body, 10)
            return RawRequest((head("POST", PREDICT, b"Content-Length: %d" % len(body)), *parts), pause=0.05)
    start = head("POST", PREDICT, chance.choice((CHUNKED, b"Content-Length: 100")))
    return RawRequest((start, *[chunk(b"slow")] * 4), pause=0.5, disconnects=chance.random() < 0.8)


def noise(chance: random.Random, corpus: Corpus) -> RawRequest:
    """Bytes that are not HTTP/1.1, or a request with a malformed request line."""
    lines = (b"GET", b"GET /", b"GET / HTTP/9.9", b"\0 / HTTP/1.1", b"get / http/1.1", b"GET  / HTTP/1.1 ", b"")
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(500)
    upgrade = head("GET", "/", b"Connection: Upgrade", b"Upgrade: " + chance.choice((b"h2c", b"websocket", b"\xff")))
    line = chance.choice(lines) + b"\r\nHost: here\r\n\r\n"
    named = head("GET", "/", b"X\xff: y", b": y", b"X y") + b"\r\n"
    return RawRequest(
        (chance.choice((line, hello, upgrade, named, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),), method="GET"
    )


def _cut(chance: random.Random, data: bytes, most: int) -> list[bytes]:
    """Split bytes into a few non-empty pieces."""
    edges = sorted({0, len(data), *(chance.randrange(len(data)) for _ in range(chance.randint(0, most - 1)))})
    return [data[start:end] for start, end in pairwise(edges)]


# Relative frequencies, in parts per thousand.
KINDS: dict[Callable[[random.Random, Corpus], RawRequest], int] = {
    file: 400,
    protocol: 30,
    form: 190,
    chunked: 90,
    header: 60,
    length: 50,
    elsewhere: 50,
    junk: 40,
    query: 25,
    hostile: 25,
    noise: 20,
    slow: 15,
    overlong: 5,
}
