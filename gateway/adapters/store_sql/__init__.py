"""The SQL store: SQLite for one machine, PostgreSQL for many workers on many.

:class:`~gateway.adapters.store_sql.engine.Store` opens it, ``tables`` names what is
in it, ``schema`` migrates it, and each room's statements are in a module of its own.
"""

from gateway.adapters.store_sql.engine import Store, StoreUnavailable

__all__ = ["Store", "StoreUnavailable"]
