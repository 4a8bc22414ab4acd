"""Run a search on a separate disk that fills up and becomes read-only; test_disk.py runs this in a mount namespace."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.helpers.driver import STUDY, Driver, call


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def check_no_search_begins_on_a_read_only_disk(disk: Path, data: Path) -> None:
    mount("-o", "remount,ro", str(disk))
    result = call("--storage", str(disk / "results"), "--data", str(data))
    assert result.exit_code == 2, result.output
    assert "Read-only file system" in " ".join(result.output.split()), result.output
    mount("-o", "remount,rw", str(disk))


def fill(driver: Driver, disk: Path) -> None:
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    check_it_halts(driver, "No space left on device")
    ballast.unlink()


def make_read_only(driver: Driver) -> None:
    # The whole disk cannot be made read-only, because other files on it are open for writing.
    states = str(driver.storage / "studies" / STUDY / "trials")
    mount("--bind", states, states)
    mount("-o", "remount,bind,ro", states)
    check_it_halts(driver, "Read-only file system")
    subprocess.run(["umount", states], check=True)


def check_it_halts(driver: Driver, reason: str) -> None:
    code, printed = driver.wait()
    assert code == 2, printed
    flat = " ".join(printed.split())
    assert reason in flat, printed
    assert f"--resume --study {STUDY}" in flat, printed
    assert "Traceback" not in printed, printed


def main(disk: Path, data: Path) -> None:
    mount("-t", "tmpfs", "-o", "size=60M", "tmpfs", str(disk))
    check_no_search_begins_on_a_read_only_disk(disk, data)
    driver = Driver(disk / "results", data, trials=4, epochs=6)
    try:
        driver.start()
        driver.wait_for_epochs(3)
        fill(driver, disk)
        driver.start(resume=True)
        driver.wait_for_epochs(driver.epochs_done() + 3)
        make_read_only(driver)
        driver.start(resume=True)
        driver.finish()
        driver.check_all_is_there()
    finally:
        driver.kill()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
