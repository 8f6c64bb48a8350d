"""The argument parser of every command line here."""

from __future__ import annotations

import argparse
from typing import NoReturn

from support.errors import InputError


class ArgumentParser(argparse.ArgumentParser):
    """An `argparse.ArgumentParser` whose complaints are `InputError`s: one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        """Raise `message` as an `InputError`."""
        raise InputError(f"{message}; `{self.prog} --help` lists what can be given")
