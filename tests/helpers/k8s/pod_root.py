"""A pod's first process: sets up the root filesystem, then becomes the container's command.

The pod sees this machine's root filesystem read-only, with its own volumes mounted. running.py runs this module in new
namespaces.

Run:
    python -m tests.helpers.k8s.pod_root DESCRIPTION
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MACHINE = ".machine"


@dataclass(frozen=True)
class Mount:
    """A mounted volume.

    Attributes:
        at: mount path in the container.
        source: local folder or file; empty for a memory volume.
        size: size of a memory volume, in the format of mount(8).
    """

    at: str
    source: str
    size: str = ""
    read_only: bool = False


def main(description: Path) -> None:
    wanted = json.loads(description.read_text())
    root = Path(wanted["root"])
    mount("-t", "tmpfs", "tmpfs", str(root))
    mounts = sorted((Mount(**fields) for fields in wanted["mounts"]), key=lambda one: one.at)
    (root / MACHINE).mkdir()
    mount("--rbind", "/", str(root / MACHINE))
    mount("-o", "remount,bind,ro", str(root / MACHINE))
    folders = {str(above) for one in mounts for above in Path(one.at).parents}
    for folder in sorted(folders):
        furnish(root, Path(folder), [one.at for one in mounts] + sorted(folders))
    (root / "proc").mkdir()
    mount("-t", "proc", "proc", str(root / "proc"))
    for one in mounts:
        put(one, root / one.at.lstrip("/"))
    mount("-o", "remount,ro", str(root))
    os.chroot(root)
    os.chdir(wanted["folder"])
    os.execvpe(wanted["command"][0], wanted["command"], wanted["environment"])


def furnish(root: Path, folder: Path, own: list[str]) -> None:
    """Create a folder with links to this machine's files, except at the paths in `own`."""
    place = root / str(folder).lstrip("/")
    place.mkdir(exist_ok=True)
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if str(entry) not in (*own, "/proc", f"/{MACHINE}"):
            link = entry.readlink() if entry.is_symlink() else f"/{MACHINE}{entry}"
            (place / entry.name).symlink_to(link)


def put(one: Mount, place: Path) -> None:
    if one.source and Path(one.source).is_file():
        place.touch()
    else:
        place.mkdir(parents=True, exist_ok=True)
    if one.source:
        mount("--rbind", one.source, str(place))
    else:
        mount("-t", "tmpfs", "-o", f"size={one.size}", "tmpfs", str(place))
    if one.read_only:
        mount("-o", "remount,bind,ro", str(place))


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
