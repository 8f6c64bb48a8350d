"""Beats of several databases as one set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from preprocess.beats import Account, BeatSet, total
from preprocess.context import join_contexts
from preprocess.databases import DATABASES


def join(sets: Mapping[str, BeatSet]) -> BeatSet:
    """Join the beats of several databases.

    Records and patients get the slug of their database before their names ("mitdb/100"). Positions stay at the rate of
    their record; the rate of the beats is that of the window.

    Args:
        sets: slug of a database -> its beats, cut by the same window and in the same classes.
    """
    first = next(iter(sets.values()))
    before = np.cumsum([0, *(len(beats.record_names) for beats in sets.values())])
    return BeatSet(
        samples=np.concatenate([beats.samples for beats in sets.values()]),
        labels=np.concatenate([beats.labels for beats in sets.values()]),
        classes=first.classes,
        fs=first.fs,
        source=", ".join(sorted({beats.source for beats in sets.values()})),
        window=first.window,
        records=np.concatenate(
            [beats.records + offset for beats, offset in zip(sets.values(), before[:-1], strict=True)]
        ),
        positions=np.concatenate([beats.positions for beats in sets.values()]),
        record_fs=tuple(rate for beats in sets.values() for rate in beats.record_fs),
        record_names=tuple(f"{slug}/{name}" for slug, beats in sets.items() for name in beats.record_names),
        leads=tuple(lead for beats in sets.values() for lead in beats.leads),
        patients=tuple(
            f"{DATABASES[slug].subjects_of or slug}/{patient}"
            for slug, beats in sets.items()
            for patient in beats.patients
        ),
        databases=tuple(slug for slug, beats in sets.items() for _ in beats.record_names),
        source_from="; ".join(f"{slug}: {beats.source_from}" for slug, beats in sets.items() if beats.source_from),
        patients_from="; ".join(f"{slug}: {beats.patients_from}" for slug, beats in sets.items()),
        context=join_contexts([beats.context for beats in sets.values()]),
        account=total(_prefixed(beats.account, slug) for slug, beats in sets.items()),
    )


def _prefixed(account: Account, slug: str) -> Account:
    """Put the slug of its database before each record that an account names."""
    left_out, remarks = (
        {reason: [f"{slug}/{name}" for name in names] for reason, names in records.items()}
        for records in (account.left_out, account.remarks)
    )
    return replace(account, left_out=left_out, remarks=remarks)
