"""Seeds, run log, checkpoints, metrics, pictures: one room each, gathered here under their short names."""

from utils.errors import InputError, run_command
from utils.files import write_json, write_text, write_torch, written_whole

__all__ = [
    "InputError",
    "run_command",
    "write_json",
    "write_text",
    "write_torch",
    "written_whole",
]
