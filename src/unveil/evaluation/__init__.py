"""Numbers one can trust: metrics, the protocol they were taken under, fair tables, cheap baselines and the papers' printed rows."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unveil.evaluation.evaluate import compare_reports, evaluate_folders, evaluate_pair
    from unveil.evaluation.protocols import PROTOCOLS, Protocol, get_protocol
    from unveil.evaluation.report import Report
    from unveil.evaluation.table import ProtocolMismatch, Score, Table

_HOMES = {
    "PROTOCOLS": "protocols", "Protocol": "protocols", "ProtocolMismatch": "table", "Report": "report", "Score": "table", "Table": "table",
    "compare_reports": "evaluate", "evaluate_folders": "evaluate", "evaluate_pair": "evaluate", "get_protocol": "protocols",
}  # fmt: skip
__all__ = [
    "PROTOCOLS", "Protocol", "ProtocolMismatch", "Report", "Score", "Table", "compare_reports", "evaluate_folders", "evaluate_pair",
    "get_protocol",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """Fetch a public name on first use, so that the commands that need none of this stay fast."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
