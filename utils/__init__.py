"""Seeds, run log, checkpoints, metrics, pictures: one room each, gathered here under their short names."""

from utils.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from utils.errors import InputError, TrainingError, run_command
from utils.files import write_json, write_text, write_torch, written_whole
from utils.metrics import classification_metrics, metrics_table, summary_table
from utils.seeds import available_devices, get_device, seed_everything

__all__ = [
    "Checkpoint",
    "InputError",
    "TrainingError",
    "available_devices",
    "classification_metrics",
    "get_device",
    "load_checkpoint",
    "metrics_table",
    "run_command",
    "save_checkpoint",
    "seed_everything",
    "summary_table",
    "write_json",
    "write_text",
    "write_torch",
    "written_whole",
]
