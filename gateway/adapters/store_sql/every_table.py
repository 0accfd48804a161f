"""Every table of the store at once, for migrations and for those who compare the schema."""

from __future__ import annotations

from gateway.adapters.store_sql import (
    tables_alerts,
    tables_books,
    tables_gpu,
    tables_rollups,
    tables_vendor_costs,
)
from gateway.adapters.store_sql.tables import metadata

__all__ = ["metadata", "tables_alerts", "tables_books", "tables_gpu", "tables_rollups", "tables_vendor_costs"]
