"""A PostgreSQL server for tests. Requires a system package: `apt-get install postgresql`."""

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
    """A server with a temporary data folder. PostgreSQL refuses to run as root, so root runs it as `postgres`."""

    def __init__(self) -> None:
        self.port = free_port()
        self._program = program("postgres")
        self._account = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        # pytest's temporary folder is unsuitable, because other users cannot read it.
        self._folder = Path(tempfile.mkdtemp(prefix="raygenre-postgres-"))
        shutil.chown(self._folder, self._account)
        self._folder.chmod(0o755)  # so that clients can reach the socket; the data folder inside is private
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
        initdb = self._call([str(program("initdb")), "-D", str(self._folder / "data"), *options])
        output, _ = initdb.communicate(timeout=120)
        assert initdb.returncode == 0, output.decode()

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
        while not self._is_ready():
            assert self._process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server and close all its connections."""
        if self._process:
            self._process.send_signal(signal.SIGINT)
            self._process.communicate(timeout=60)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def create(self, name: str) -> str:
        """Create a database and return its URL."""
        connection = self._connect()
        connection.autocommit = True
        connection.cursor().execute(f'CREATE DATABASE "{name}"')
        connection.close()
        return self.url(name)

    def url(self, name: str, *, password: str = PASSWORD) -> str:
        return f"postgresql+psycopg2://{USER}:{password}@127.0.0.1:{self.port}/{name}"

    def variables(self, name: str) -> dict[str, str]:
        """Return libpq's environment variables for connecting to a database from any network namespace."""
        return {
            "PGHOST": str(self._folder),
            "PGPORT": str(self.port),
            "PGDATABASE": name,
            "PGUSER": USER,
            "PGPASSWORD": PASSWORD,
            "PGSSLMODE": "prefer",
        }

    def _connect(self) -> Any:
        login = {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD}
        return psycopg2.connect(dbname="postgres", connect_timeout=5, **login)

    def _is_ready(self) -> bool:
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
    """Run a server for the duration of this context."""
    postgres = Postgres()
    try:
        postgres.start()
        yield postgres
    finally:
        postgres.remove()


def program(name: str) -> Path:
    """Return the path of a PostgreSQL program; Debian does not put the server's programs on PATH."""
    installed = list(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if installed:
        return max(installed, key=lambda path: float(path.parent.parent.name))
    path = shutil.which(name)
    assert path, f"PostgreSQL's {name} is not installed; these tests need it: apt-get install postgresql"
    return Path(path)
