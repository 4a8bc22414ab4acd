"""A PostgreSQL server of the tests' own, from the system's package: `apt-get install postgresql`."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from tests.helpers.mlflow_server import free_port

USER = "raygenre"
PASSWORD = "p0st-gr3s"


class Postgres:
    """A cluster of databases in a folder of its own; it refuses to run as root and then runs as `postgres`."""

    def __init__(self) -> None:
        self.port = free_port()
        self._program = program("postgres")
        self._account = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self._folder = Path(tempfile.mkdtemp(prefix="raygenre-postgres-"))  # pytest's are closed to other accounts
        shutil.chown(self._folder, self._account)
        self._folder.chmod(0o755)  # the socket in it is for others too; the data have a folder that is closed
        self._process: subprocess.Popen[bytes] | None = None
        secret = self._folder / "secret"
        secret.write_text(PASSWORD)
        shutil.chown(secret, self._account)
        options = [
            "--username",
            USER,
            "--pwfile",
            str(secret),
            "--auth",
            "scram-sha-256",
            "--encoding",
            "UTF8",
            "--no-sync",
        ]
        made = self._call([str(program("initdb")), "-D", str(self._folder / "data"), *options])
        output, _ = made.communicate(timeout=120)
        assert made.returncode == 0, output.decode()

    def start(self) -> None:
        options = [
            "-p",
            str(self.port),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "fsync=off",
            "-c",
            "max_connections=300",
        ]
        options += ["-c", f"unix_socket_directories={self._folder}"]
        self._process = self._call([str(self._program), "-D", str(self._folder / "data"), *options])
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def stop(self) -> None:
        """End it, and all its connections with it."""
        if self._process:
            self._process.send_signal(signal.SIGINT)
            self._process.communicate(timeout=60)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def create(self, name: str) -> str:
        """Make a database, and return its address."""
        connection = self._connect()
        connection.autocommit = True
        connection.cursor().execute(f'CREATE DATABASE "{name}"')
        connection.close()
        return self.url(name)

    def url(self, name: str, *, password: str = PASSWORD) -> str:
        return f"postgresql+psycopg2://{USER}:{password}@127.0.0.1:{self.port}/{name}"

    def variables(self, name: str) -> dict[str, str]:
        """What libpq needs for a database, by a socket in a folder, so in other network namespaces too."""
        return {
            "PGHOST": str(self._folder),
            "PGPORT": str(self.port),
            "PGDATABASE": name,
            "PGUSER": USER,
            "PGPASSWORD": PASSWORD,
            "PGSSLMODE": "prefer",
        }

    def _connect(self) -> Any:
        own = {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD}
        return psycopg2.connect(dbname="postgres", connect_timeout=5, **own)

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def _call(self, command: list[str]) -> "subprocess.Popen[bytes]":
        account = self._account if os.geteuid() == 0 else None
        groups: list[str] | None = [] if account else None
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            user=account,
            group=account,
            extra_groups=groups,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )


@contextmanager
def running() -> Iterator[Postgres]:
    """Run a server while it is needed."""
    postgres = Postgres()
    try:
        postgres.start()
        yield postgres
    finally:
        postgres.remove()


def program(name: str) -> Path:
    """One of PostgreSQL's programs, of which Debian keeps the server's out of the search path."""
    found = list(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if found:
        return max(found, key=lambda path: float(path.parent.parent.name))
    where = shutil.which(name)
    assert where, f"PostgreSQL's {name} is not installed; these tests need it: apt-get install postgresql"
    return Path(where)
