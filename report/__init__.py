"""From a recording to a report: what is in it beat by beat, and when."""

import support  # noqa: F401  (before torch: support.threads)
from report.classify import classify_beats, classify_signal, load_classifier

__all__ = ["classify_beats", "classify_signal", "load_classifier"]
