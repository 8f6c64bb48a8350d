"""From a recording to a report: what is in it beat by beat, and when."""
