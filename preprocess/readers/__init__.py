"""Recordings of any format, one lead of them, in mV and in parts: `open_recording`.

`recording` is what all readers give; `wfdb`, `edf`, `tables`, `ishne` and `kardia` read one format each,
`layout` how a table is made, `heads` what the lines above it say, `columns` what its columns hold, `clock` where its
rows are in time. `opening` chooses the format and the lead.
"""

from preprocess.readers.opening import open_recording
from preprocess.readers.recording import Options, Recording, clock_time, parse_start

__all__ = ["Options", "Recording", "clock_time", "open_recording", "parse_start"]
