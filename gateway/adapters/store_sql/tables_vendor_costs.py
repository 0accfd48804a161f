"""What vendors' cost exports say, line by line.

Same rules as :mod:`gateway.adapters.store_sql.tables`: units by suffix, no Numeric, no Float.
"""

from __future__ import annotations
