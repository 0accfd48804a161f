"""The one place that opens the database.

SQLAlchemy Core, synchronous, on a small pool of threads that this adapter owns: the
event loop never waits for a socket or a disk. SQLite runs in WAL mode with one
writer; PostgreSQL by psycopg 3. What fails because the database is away, locked or
restarting is :class:`StoreUnavailable`; everything else is a bug and is raised.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gateway.ports import BudgetsUnavailable

T = TypeVar("T")

_BUSY_MS = 5_000
_CONNECT_S = 3
_STATEMENT_MS = 10_000


class StoreUnavailable(BudgetsUnavailable):
    """The database cannot be reached or does not answer in time. Try again later."""


class Store:
    """A database by URL: ``sqlite:////path/to/file.db`` or ``postgresql://…``.

    Making one opens nothing. ``synchronous`` is SQLite's: ``NORMAL`` survives
    ``kill -9``, ``FULL`` survives power loss; the journal is the truth either way.
    """

    def __init__(self, url: str, *, threads: int = 4, synchronous: str = "NORMAL") -> None:
        self._url = _driver_of(make_url(url))
        self.dialect = self._url.get_backend_name()
        self._synchronous = synchronous
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._engine: Engine | None = None
        # SQLite has one writer: queueing here is fair and silent, its busy handler is neither.
        self._writing = threading.Lock()

    # ------------------------------------------------------------------- sync

    @property
    def engine(self) -> Engine:
        """The engine, made at first use."""
        if self._engine is None:
            self._engine = self._open()
        return self._engine

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction for reading: all of it sees one instant. Raises StoreUnavailable."""
        with _translated(), self.engine.connect() as connection:
            if self.dialect == "postgresql":
                # SQLite does so by itself. A report of several queries must tie out while calls go on.
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction for writing; it commits if the block ends well. Raises StoreUnavailable.

        On SQLite the write lock is taken at the start: a transaction that reads and
        then writes never fails half way because another wrote in between.
        """
        if self.dialect != "sqlite":
            with _translated(), self.engine.begin() as connection:
                yield connection
            return
        with (
            _translated(),
            self._writing,
            self.engine.connect() as connection,
            connection.execution_options(borderpost_write=True).begin(),
        ):
            yield connection

    # ------------------------------------------------------------------ async

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a writing transaction on a thread. Raises StoreUnavailable."""
        return await self._on_thread(lambda: _within(self.write, work))

    async def ask(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a reading transaction on a thread. Raises StoreUnavailable."""
        return await self._on_thread(lambda: _within(self.read, work))

    async def call(self, work: Callable[[], T]) -> T:
        """Run a blocking function on the adapter's threads."""
        return await self._on_thread(work)

    async def _on_thread(self, work: Callable[[], T]) -> T:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="store")
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Close the threads and the connections."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    # ---------------------------------------------------------------- opening

    def _open(self) -> Engine:
        if self.dialect == "sqlite":
            engine = create_engine(
                self._url,
                pool_size=self._threads + 1,
                max_overflow=2,
                connect_args={"timeout": _BUSY_MS / 1000, "check_same_thread": False},
            )
            _sqlite_events(engine, self._synchronous)
            return engine
        return create_engine(
            self._url,
            pool_size=self._threads,
            max_overflow=2,
            pool_timeout=_CONNECT_S,
            # A connection that died with a restarted server is replaced, not reported.
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": _CONNECT_S,
                "tcp_user_timeout": _STATEMENT_MS,
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "application_name": "borderpost",
                # No query of ours is worth half a second of compiling it.
                "options": f"-c statement_timeout={_STATEMENT_MS} -c lock_timeout={_BUSY_MS} -c timezone=UTC"
                " -c jit=off",
            },
        )


def _driver_of(url: URL) -> URL:
    """Choose our driver for a URL as people write it. Raises ValueError on another database."""
    match url.get_backend_name():
        case "sqlite":
            return url
        case "postgresql" | "postgres":
            return url.set(drivername="postgresql+psycopg")
        case other:
            raise ValueError(f"unknown database `{other}`: use a sqlite:// or postgresql:// URL")


def _sqlite_events(engine: Engine, synchronous: str) -> None:
    @event.listens_for(engine, "connect")
    def _connected(connection: object, _record: object) -> None:
        # The driver must not open transactions by its own rules: ours begin below.
        connection.isolation_level = None  # type: ignore[attr-defined]  # sqlite3.Connection
        cursor = connection.cursor()  # type: ignore[attr-defined]  # as above
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA synchronous={synchronous}")
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get("borderpost_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _within(opened: Callable[[], object], work: Callable[[Connection], T]) -> T:
    with opened() as connection:  # type: ignore[attr-defined]  # a context manager of Connection
        return work(connection)


@contextmanager
def _translated() -> Iterator[None]:
    """Name what is the database's absence, so that callers can wait for its return."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        # The text may name hosts and files: the cause keeps it for a debugger only.
        raise StoreUnavailable("the database does not answer") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise StoreUnavailable("the database went away") from error
        raise
