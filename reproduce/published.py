"""Figures that others have published, in percent. Nothing here is ours.

Unless another source is named they are from El-Ghaish & Eldele 2024 (doi 10.1016/j.bspc.2023.105714): 60 epochs, three
seeds, beats of the Kaggle "heartbeat" set split by beat.
"""

from __future__ import annotations

from dataclasses import dataclass, field

TEST_COUNTS = {"N": 18118, "S": 556, "V": 1448, "F": 162, "Q": 1608}
"""Test beats of MIT-BIH (Table 1)."""


@dataclass(frozen=True)
class Published:
    """Figures of one row: figure -> column (a class or `macro`) -> percent; the accuracy stands under `macro`."""

    means: dict[str, dict[str, float]] = field(default_factory=dict)
    sds: dict[str, dict[str, float]] = field(default_factory=dict)

    def mean(self, figure: str, column: str) -> float:
        """NaN where nothing is published."""
        return self.means.get(figure, {}).get(column, float("nan"))

    def sd(self, figure: str, column: str) -> float:
        """NaN where none is published."""
        return self.sds.get(figure, {}).get(column, float("nan"))


TABLE2 = Published(
    {
        "precision": {"N": 99.36, "S": 91.67, "V": 95.74, "F": 91.30, "Q": 99.30, "macro": 95.47},
        "recall": {"N": 99.46, "S": 86.91, "V": 97.65, "F": 82.68, "Q": 99.06, "macro": 93.15},
        "f1": {"N": 99.41, "S": 89.22, "V": 96.69, "F": 86.78, "Q": 99.18, "macro": 94.26},
        "accuracy": {"macro": 99.35},
    },
    {"f1": {"macro": 0.28}, "accuracy": {"macro": 0.16}},
)
"""MIT-BIH. The accuracy is that of the text and Table 4; the recalls contradict it, see `accuracy_from_recalls`."""

TABLE3 = Published({"f1": {"normal": 99.14, "infarction": 99.67, "macro": 99.41}}, {"f1": {"macro": 0.05}})
"""PTB."""

FIG5 = {
    "cnn": Published({"f1": {"macro": 88.1}}),
    "msc": Published({"f1": {"macro": 90.4}}),
    "msc_crm": Published({"f1": {"macro": 91.3}}),
    "msc_crm_trans": Published({"f1": {"macro": 91.45}}),
    "msc_crm_bitrans": Published({"f1": {"macro": 93.6}}),
    "full": Published({"f1": {"macro": 94.26}}),
}
"""Ablation on MIT-BIH; all but the last are read off the bars."""

FIG6 = {
    "cal": Published({"f1": {"macro": 94.26, "S": 89.22}}),
    "weighted_ce": Published({"f1": {"macro": 91.07}}),
    "focal": Published({"f1": {"macro": 90.51}}),
    "balanced": Published({"f1": {"macro": 81.84, "S": 64.15}}),
    "smote": Published({"f1": {"S": 74.84}}),
}
"""Remedies for class imbalance on MIT-BIH (Fig. 6 and section 5.4)."""


@dataclass(frozen=True)
class InterPatient:
    """What a work reports for DS1 -> DS2 of mitdb; None where it does not."""

    work: str
    s_se: float | None = None
    s_ppv: float | None = None
    v_se: float | None = None
    v_ppv: float | None = None
    s_f1: float | None = None
    v_f1: float | None = None


INTER_PATIENT = (
    InterPatient("de Chazal et al. 2004", 76, 38, 77, 82),
    InterPatient("Llamedo et al. 2011", 77, 39, 81, 87),
    InterPatient("Garcia et al. 2017", 62, 53, 87, 59),
    InterPatient("Niu et al. 2020", s_f1=76.6, v_f1=89.7),
    InterPatient("Xu et al. 2022", s_f1=82.8, v_f1=91.7),
)
"""Not by the paper, which has no inter-patient figures. Se and +P are of EC57, F1 of precision and recall as they are;
README.md ("To cite") names the works."""


def accuracy_from_recalls() -> float:
    """The accuracy that Table 2's recalls and Table 1's test counts amount to: 98.87, not the 99.35 of the text."""
    hits = sum(TABLE2.mean("recall", name) * beats for name, beats in TEST_COUNTS.items())
    return hits / sum(TEST_COUNTS.values())
