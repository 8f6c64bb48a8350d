"""Recordings in, split files out: `python -m preprocess --help`.

records -> labels -> beats -> splits, one module each: `records` reads a folder of recordings (`headers`, `samples` and
`annotations` what their files say, `leads` which channel is meant), `labels` knows what an annotation or a diagnosis
means, `beats` how a beat is cut, `splits` which beat goes where and what is written.
`readers` opens one lead of a recording in any other format, too, for whoever has no folder of records.
`databases` describes the public ones, `physionet` downloads them and recognises them by their checksums, `joined` makes
one set of several. `kachuee` has the two readings of the paper's window; `kaggle` and
`released` read beats that others have cut; `synthetic` makes patients.
"""
