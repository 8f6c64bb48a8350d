"""Recordings of any format, one lead of them, in mV and in parts: `open_recording`.

`recording` is what all readers give; `wfdb`, `edf`, `tables`, `ishne` and `kardia` read one format each,
`heads` what the lines above a table say, `columns` what its columns hold.
"""

from preprocess.readers.opening import open_recording
from preprocess.readers.recording import Options, Recording, clock_time, iso_date, parse_start

__all__ = ["Options", "Recording", "clock_time", "iso_date", "open_recording", "parse_start"]
