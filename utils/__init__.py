"""Seeds, run log, checkpoints, metrics, pictures: one room each; the names that users of the package need are here."""

from utils.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from utils.errors import InputError, TrainingError, run_command
from utils.metrics import classification_metrics, metrics_table, summary_table
from utils.seeds import get_device, seed_everything

__all__ = [
    "Checkpoint",
    "InputError",
    "TrainingError",
    "classification_metrics",
    "get_device",
    "load_checkpoint",
    "metrics_table",
    "run_command",
    "save_checkpoint",
    "seed_everything",
    "summary_table",
]
