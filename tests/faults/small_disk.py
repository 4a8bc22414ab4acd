"""A search on a disk of its own that fills up or becomes read-only; run in a mount namespace by test_disk.py."""

import subprocess
import sys
from pathlib import Path

from tests.faults.driver import Driver


def full(driver: Driver, disk: Path) -> str:
    driver.wait_for_epochs(4)
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    code, printed = driver.wait()
    ballast.unlink()
    assert code == 2, printed
    return printed


def read_only(driver: Driver, disk: Path) -> str:
    driver.wait_for_epochs(4)
    # A file that is open for writing would keep the disk from being remounted; a bind mount's flag has no such scruple.
    subprocess.run(["mount", "-o", "remount,bind,ro", str(disk)], check=True)
    code, printed = driver.wait()
    subprocess.run(["mount", "-o", "remount,bind,rw", str(disk)], check=True)
    assert code == 2, printed
    return printed


def main(scenario: str, disk: Path, data: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60M", "tmpfs", str(disk)], check=True)
    driver = Driver(disk / "results", data, trials=4, epochs=6)
    try:
        driver.start()
        printed = {"full": full, "read-only": read_only}[scenario](driver, disk)
        reason = {"full": "No space left on device", "read-only": "Read-only file system"}[scenario]
        flat = " ".join(printed.split())
        assert reason in flat, printed
        assert "--resume --study" in flat, printed
        assert "Traceback" not in printed, printed
        driver.start(resume=True)
        code, printed = driver.wait()
        assert code == 0, printed
        driver.check_all_is_there()
    finally:
        driver.kill()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
