"""The comparison of ANSI/AAMI EC57, the one home of its figures."""

from ec57.figures import ec57_figures, per_record

__all__ = ["ec57_figures", "per_record"]
