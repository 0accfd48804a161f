"""GPU pools, their windows and their shares.

Same rules as :mod:`gateway.adapters.store_sql.tables`: units by suffix, no Numeric, no Float.
"""

from __future__ import annotations
