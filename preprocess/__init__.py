"""Recordings in, split files out: `python -m preprocess --help`.

records -> labels -> beats -> splits, one module each: `records` reads a folder of recordings (`ec57.headers`,
`ec57.annotation_files` and `signal_files` say what is in their files, `leads` which channel is meant), `labels` knows
what an annotation or a diagnosis means, `beats` how a beat is cut, `splits` which beat goes where and what is written.
`context` has the rhythm around a beat, `detect` finds R-peaks where none are annotated, `kachuee` has the two readings
of the paper's window.
`databases` describes the public ones, `physionet` downloads them and recognises them by their checksums, `joined` makes
one set of several; `kaggle` and `released` read beats that others have cut, `synthetic` makes patients.
`readers` opens one lead of a single recording, in any format.
"""
