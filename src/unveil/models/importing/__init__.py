"""Published weights made into models of this project: read without running code, recognised, converted, described."""

from __future__ import annotations

from unveil.models.importing.convert import Imported, describe, import_file

__all__ = ["Imported", "describe", "import_file"]
