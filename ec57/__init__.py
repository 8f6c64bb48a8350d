"""The comparison of ANSI/AAMI EC57, the one home of its figures."""

from ec57 import tables
from ec57.annotations import Annotations, Header, is_rated, read_annotations, read_header
from ec57.beats import BeatComparison, compare_beats
from ec57.figures import Ratio, ec57_figures, per_record
from ec57.protocol import GROUPINGS, Protocol
from ec57.runs import RunComparison, Runs, compare_runs

__all__ = [
    "GROUPINGS",
    "Annotations",
    "BeatComparison",
    "Header",
    "Protocol",
    "Ratio",
    "RunComparison",
    "Runs",
    "compare_beats",
    "compare_runs",
    "ec57_figures",
    "is_rated",
    "per_record",
    "read_annotations",
    "read_header",
    "tables",
]
