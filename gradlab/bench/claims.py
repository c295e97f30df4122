"""Who works on what: claims with a heartbeat, so that processes share a study.

A claim is one row of a SQLite table, and taking it is one transaction: SQLite lets one process at
a time write, so of two processes that want a unit of work exactly one gets it. The owner renews
its claims every few seconds from a thread. A claim is dead, and may be taken over, when its owner
has not renewed it for a while or is known to be gone.
"""

import contextlib
import dataclasses
import os
import socket
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

_TABLE = """
CREATE TABLE IF NOT EXISTS claims (
    unit TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    host TEXT NOT NULL,
    process TEXT NOT NULL,
    beat REAL NOT NULL,
    done INTEGER NOT NULL DEFAULT 0
)
"""


def process_identity(number: int) -> str | None:
    """Identifies a process of this machine, or finds that it does not exist.

    Args:
        number: its number.

    Returns:
        The number and, on Linux, the time at which it started, because numbers are used again;
        None where no such process runs.
    """
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    try:
        # The name in the second field may hold spaces; the start time is the 20th field after it.
        fields = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return str(number)
    return None if fields[0] == "Z" else f"{number}:{fields[19]}"


@dataclasses.dataclass(frozen=True)
class Claims:
    """The claims of one process on the units of one study.

    Args:
        path: the database that all processes of the study share.
        interval: time between two heartbeats [s].
        bound: age of a heartbeat from which its owner counts as dead [s].
        owner: a name that no other owner has.
    """

    path: Path
    interval: float = 5.0
    bound: float = 60.0
    owner: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)

    def acquire(self, unit: str) -> bool:
        """Tries to claim a unit of work.

        Args:
            unit: its name.

        Returns:
            Whether it is now this owner's: False where it is done, or in living hands.
        """
        with self._transaction() as database:
            row = database.execute(
                "SELECT owner, host, process, beat, done FROM claims WHERE unit = ?", (unit,)
            ).fetchone()
            if row is not None:
                owner, host, process, beat, done = row
                if done or (owner != self.owner and self._alive(host, process, beat)):
                    return False
            values = (unit, self.owner, socket.gethostname(), _own_identity(), time.time())
            database.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?, 0)", values)
        return True

    def holds(self, unit: str) -> bool:
        """Renews this owner's claim on a unit, and says whether it still has one."""
        with self._transaction() as database:
            cursor = database.execute(
                "UPDATE claims SET beat = ? WHERE unit = ? AND owner = ? AND done = 0",
                (time.time(), unit, self.owner),
            )
        return cursor.rowcount == 1

    def finish(self, unit: str) -> None:
        """Records that a unit is done, for good."""
        with self._transaction() as database:
            database.execute(
                "UPDATE claims SET done = 1 WHERE unit = ? AND owner = ?", (unit, self.owner)
            )

    def release(self, unit: str) -> None:
        """Gives a claim back undone, so that nobody has to wait for it to die."""
        with self._transaction() as database:
            database.execute(
                "DELETE FROM claims WHERE unit = ? AND owner = ? AND done = 0", (unit, self.owner)
            )

    def done(self) -> frozenset[str]:
        """Returns the units that are done."""
        with self._transaction() as database:
            rows = database.execute("SELECT unit FROM claims WHERE done = 1").fetchall()
        return frozenset(unit for (unit,) in rows)

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Renews every claim of this owner while the block runs, whatever the block does."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(self.interval):
                # A database that is briefly locked costs one heartbeat, not the claim.
                with contextlib.suppress(sqlite3.Error), self._transaction() as database:
                    database.execute(
                        "UPDATE claims SET beat = ? WHERE owner = ? AND done = 0",
                        (time.time(), self.owner),
                    )

        thread = threading.Thread(target=beat, name="claims", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _alive(self, host: str, process: str, beat: float) -> bool:
        if time.time() - beat > self.bound:
            return False
        if host != socket.gethostname():
            return True
        return process_identity(int(process.split(":")[0])) == process

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        try:
            database.execute("BEGIN IMMEDIATE")
            database.execute(_TABLE)
            yield database
            database.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            raise
        finally:
            database.close()


def _own_identity() -> str:
    return process_identity(os.getpid()) or str(os.getpid())
