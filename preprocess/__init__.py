"""Recordings in, split files out: `python -m preprocess --help`.

records -> labels -> beats -> splits, one room each: `records` knows where recordings come from, `labels` what an
annotation or a diagnosis means, `beats` how a beat is cut, `splits` which beat goes where and what is written.
`kachuee` has the two readings of the paper's window; `kaggle` and `released` read beats that others have cut;
`synthetic` makes patients.
"""
