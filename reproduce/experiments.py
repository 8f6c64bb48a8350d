"""The tables and figures of the paper as lists of runs: which beats, which settings, beside which published figure."""

from __future__ import annotations

from dataclasses import dataclass, field

from reproduce import published
from reproduce.published import Published

RECORDINGS = ("records", "physionet", "synthetic")
"""Sources of whole recordings, one of which the command line chooses; the others are beats that others have cut."""


@dataclass(frozen=True)
class Beats:
    """The beats of a row: a dataset, how its beats were cut, and how they were split."""

    dataset: str
    """mit or ptb."""
    window: str = "centred"
    """centred, kachuee or kaggle, cut from recordings; kaggle_files and released_file: beats that others have cut."""
    protocol: str = "beat"
    """beat or inter_patient."""
    databases: tuple[str, ...] = ()
    """Databases whose beats are taken together; none: the usual one of the dataset."""

    @property
    def cut_by_others(self) -> bool:
        """Whether the beats come from files of others rather than from recordings."""
        return self.window in ("kaggle_files", "released_file")


@dataclass(frozen=True)
class Row:
    """One line of a table: beats and what differs from the paper's network, loss and sampling."""

    label: str
    beats: Beats
    settings: dict[str, str] = field(default_factory=dict)
    """Options of `main.py` (recipe, variant, loss, sampler)."""
    published: Published = field(default_factory=Published)
    """The paper's figures for this row."""


@dataclass(frozen=True)
class Experiment:
    """A table or figure of the paper, or one that belongs beside it."""

    name: str
    title: str
    note: str
    """What a reader must know to read the table."""
    rows: tuple[Row, ...]
    """Numbered from 1 for `--row`, which pages and cards quote: a new one comes last."""
    form: str = "classes"
    """Of page and picture: `classes`, a column each, as in Table 2; `patients`, with EC57's figures beside; `accuracy`,
    as in Table 4; `bars`, as in Fig. 5 and 6."""
    columns: tuple[str, ...] = ("macro",)
    """Classes, or `macro`, whose F1 the `bars` show."""


WHOLE_PTB = (
    "The whole ptbdb has 549 records of 290 subjects, 200 of whom are healthy or have an infarction. Figures on a "
    "part of it do not compare with the paper's; `test records` below says how many records a row was tested on."
)

MIT = Beats("mit")
PTB = Beats("ptb")
FULL = Row("MIT-BIH, centred window", MIT, published=published.TABLE2)

TABLE2 = Experiment(
    "table2",
    "Table 2: MIT-BIH, five AAMI classes, split by beat",
    "Each test beat has neighbours of the same patient in the training split. The paper used the beats of the Kaggle "
    "set; here beats are cut from the recordings in three ways (data/README.md). `centred`: 186 samples at 360 Hz "
    "around the annotated R-peak. `kachuee`: at 125 Hz from one R-peak on, by the text of Kachuee et al. 2018, which "
    "finds 57 % of the beats. `kaggle`: at 125 Hz from one R-peak on, as the rows of the Kaggle set must have been "
    "cut.",
    (
        FULL,
        Row("MIT-BIH, Kachuee's text", Beats("mit", "kachuee"), published=published.TABLE2),
        Row("MIT-BIH, like the Kaggle rows", Beats("mit", "kaggle"), published=published.TABLE2),
        Row("MIT-BIH, Kaggle files", Beats("mit", "kaggle_files"), published=published.TABLE2),
    ),
)

TABLE3 = Experiment(
    "table3",
    "Table 3: PTB, normal and infarction, split by beat",
    "Each test beat has neighbours of the same patient in the training split. Windows as in table2; `released_file` is "
    f"one split file of the paper's authors, split again by beat. {WHOLE_PTB}",
    (
        Row("PTB, centred window", PTB, published=published.TABLE3),
        Row("PTB, Kachuee's text", Beats("ptb", "kachuee"), published=published.TABLE3),
        Row("PTB, like the Kaggle rows", Beats("ptb", "kaggle"), published=published.TABLE3),
        Row("PTB, Kaggle files", Beats("ptb", "kaggle_files"), published=published.TABLE3),
        Row("PTB, released file", Beats("ptb", "released_file"), published=published.TABLE3),
    ),
)

TABLE4 = Experiment(
    "table4",
    "Table 4: accuracy and macro-F1 on both datasets",
    "The paper's Table 4 sets its accuracy beside that of other works, whose figures are not repeated here. "
    + WHOLE_PTB,
    (FULL, TABLE3.rows[0]),
    form="accuracy",
)

FIG5 = Experiment(
    "fig5",
    "Fig. 5: what each block adds, macro-F1 on MIT-BIH",
    "All bars but the last are trained with plain cross-entropy; the paper's figures are read off the bars of its "
    "Fig. 5.",
    tuple(
        Row(label, MIT, {} if variant == "full" else {"variant": variant}, published.FIG5[variant])
        for variant, label in {
            "cnn": "CNN",
            "msc": "MSC",
            "msc_crm": "MSC + CRM",
            "msc_crm_trans": "MSC + CRM + one-way Transformer",
            "msc_crm_bitrans": "MSC + CRM + BiTrans",
            "full": "MSC + CRM + BiTrans + CAL",
        }.items()
    ),
    form="bars",
)

FIG6 = Experiment(
    "fig6",
    "Fig. 6: remedies for class imbalance, F1 on MIT-BIH",
    "One remedy at a time: the samplers are trained with plain cross-entropy. SMOTE fills every class up to the "
    "largest, so an epoch of it has several times the steps of the others (see `beats an epoch` below).",
    (
        Row("CAL", MIT, published=published.FIG6["cal"]),
        Row("cross-entropy", MIT, {"variant": "msc_crm_bitrans"}),  # as in Fig. 5, whose runs it shares
        Row("weighted cross-entropy", MIT, {"loss": "weighted_ce"}, published.FIG6["weighted_ce"]),
        Row("focal loss", MIT, {"loss": "focal"}, published.FIG6["focal"]),
        Row("balanced sampler", MIT, {"sampler": "balanced"}, published.FIG6["balanced"]),
        Row("SMOTE", MIT, {"sampler": "smote"}, published.FIG6["smote"]),
    ),
    form="bars",
    columns=("macro", "S"),
)

NEW_PATIENTS = {"recipe": "new_patients"}
JOINT = {"context": "joint"}

INTER_PATIENT = Experiment(
    "inter_patient",
    "New patients: the network split by patient and by beat, alone and with the rhythm around a beat",
    "Split by beat, the network is tested on patients that it was trained on. The beats of one person resemble one "
    "another far more than those of two people, ectopic beats most of all, so a test beat has near duplicates among "
    "the training beats, some seconds away in the same recording. Recognising them takes no knowledge of what an "
    "arrhythmia looks like in general. That is why the paper's 99 % does not carry over to new patients: the rows "
    "split by patient say what to expect of those. The rows of mitdb split by patient are trained on DS1 and tested "
    "on DS2.\n\n"
    "Without context a beat is seen by itself: the prematurity that marks most S beats lies outside its window, and "
    "the works below that find more of them measure it. The rows `with context` see the record around a beat, by "
    "patient with `--recipe new_patients`, by beat with `--context joint`. [new_patients.md](new_patients.md) says "
    "how that was chosen, and lists each opening of DS2.\n\n"
    f"{WHOLE_PTB}",
    (
        Row("MIT-BIH, by patient", Beats("mit", protocol="inter_patient")),
        Row("MIT-BIH, by beat", MIT),
        Row("MIT-BIH, by patient, with context", Beats("mit", protocol="inter_patient"), NEW_PATIENTS),
        Row(
            "MIT-BIH and svdb, by patient, with context",
            Beats("mit", protocol="inter_patient", databases=("mitdb", "svdb")),
            NEW_PATIENTS,
        ),
        Row("MIT-BIH, by beat, with context", MIT, JOINT),
        Row("PTB, by patient", Beats("ptb", protocol="inter_patient")),
        Row("PTB, by beat", PTB),
        Row("PTB, by patient, with context", Beats("ptb", protocol="inter_patient"), NEW_PATIENTS),
        Row(
            "MIT-BIH and svdb, by patient, with context, without BiTrans",
            Beats("mit", protocol="inter_patient", databases=("mitdb", "svdb")),
            {**NEW_PATIENTS, "variant": "msc_crm"},
        ),
        Row("MIT-BIH, by beat, with context, without BiTrans", MIT, {**JOINT, "variant": "msc_crm"}),
    ),
    form="patients",
)

CONTEXT = Experiment(
    "context",
    "What the rhythm around a beat and the dominant beat add, on new patients",
    "DS1 -> DS2, all rows with `--recipe new_patients`. `rhythm`: a network that sees the beat alone says NS, V, F or "
    "Q, and the rhythm head which of NS is S. `dominant beat`: the network sees how the beat differs from the record's "
    "dominant beat, with 20 shape features, and says N, S, V, F or Q. Every opening of DS2 is written down in "
    "[new_patients.md](new_patients.md).",
    tuple(
        Row(label, Beats("mit", protocol="inter_patient"), settings)
        for label, settings in {
            "beat alone": {**NEW_PATIENTS, "context": "none"},
            "beat and rhythm": {**NEW_PATIENTS, "context": "rhythm_only"},
            "beat and dominant beat": {**NEW_PATIENTS, "context": "dominant"},
            "beat, rhythm and dominant beat": NEW_PATIENTS,
            "the same without BiTrans": {**NEW_PATIENTS, "variant": "msc_crm"},
        }.items()
    ),
    form="patients",
)

RECIPES = Experiment(
    "recipes",
    "Recipes: the paper's training beside that on sequences of beats",
    "Both get the same splits, epochs and learning-rate schedule. `notes` is not in the paper: learning rate 1e-4, "
    "batches of 20 sequences of 15 successive training beats of a record (with gaps where the other splits have "
    "beats; each beat goes through the network alone), gradients clipped at 5, a weight of 1.5 for the hard class.",
    (Row("supervised", MIT), Row("notes", MIT, {"recipe": "notes"})),
)

EXPERIMENTS = {
    experiment.name: experiment for experiment in (TABLE2, TABLE3, TABLE4, FIG5, FIG6, INTER_PATIENT, CONTEXT, RECIPES)
}
