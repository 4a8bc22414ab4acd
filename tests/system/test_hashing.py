import hashlib
from pathlib import Path

from raygenre.system.hashing import sha256_of


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(b"jazz")
    assert sha256_of(tmp_path / "song.mp3") == hashlib.sha256(b"jazz").hexdigest()
