"""Synthetic patients, written as true WFDB records: they stand in for mitdb and ptbdb where nothing can be downloaded.

A beat is a sum of Gaussian waves (P, Q, R, S, T and what disease adds), each with a centre, a width and an
amplitude in every lead, and the beats follow a tachogram with a low-frequency and a respiratory rhythm. This is
the closed form of the model of

    McSharry PE, Clifford GD, Tarassenko L, Smith LA. A dynamical model for generating synthetic
    electrocardiogram signals. IEEE Trans Biomed Eng 50(3):289-294, 2003.

To it come the ectopic beats with their timing, paced beats, bundle branch blocks and infarctions, and what an
electrode adds: baseline wander, mains hum, muscle noise and motion. Every number below is a round textbook range
(amplitudes and durations of an adult's ECG), drawn once a patient and varied from beat to beat.

Each module imports from those before it: `waves`, `shapes`, `rhythm`, `noise`, `patients`, `files` (databases in the
manner of mitdb and ptbdb), `day` and `holter` (hours or days of one patient, with a diary and the true episodes). The
same seed writes the same bytes. Every header carries the words of `MARK`, so that no reader mistakes a record of
this package for a person's.
"""

from __future__ import annotations

from preprocess.synthetic.files import DIARY, MARK, TRUE_EPISODES, write_synthetic_mit, write_synthetic_ptb
from preprocess.synthetic.holter import Holter, write_synthetic_holter

__all__ = [
    "DIARY",
    "MARK",
    "TRUE_EPISODES",
    "Holter",
    "write_synthetic_holter",
    "write_synthetic_mit",
    "write_synthetic_ptb",
]
