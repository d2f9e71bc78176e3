"""Every door, gathered."""

from hostile import arrays, estimators, files, models, parts, programs  # noqa: F401 - each registers its doors
from hostile.doors import DOORS

__all__ = ["DOORS"]
