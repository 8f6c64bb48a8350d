"""The argument parser of every command line here, and options that are the fields of a dataclass."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import sys
import types
import typing
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from support.errors import InputError, unknown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance, SupportsWrite

    Config = TypeVar("Config", bound=DataclassInstance)


class ArgumentParser(argparse.ArgumentParser):
    """An `argparse.ArgumentParser` whose complaints are `InputError`s: one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        """Raise `message` as an `InputError`, in our words where argparse speaks of types."""
        kinds = {"int": "a whole number", "float": "a number"}
        of_type = re.fullmatch(r"argument (\S+): invalid (int|float) value: (.*)", message)
        if of_type:
            message = f"{of_type[1]} must be {kinds[of_type[2]]}, got {of_type[3]}"
        message = re.sub(  # -aVR is not an option
            r"argument (\S+): expected one argument", r"\1 needs a value; write \1=-X where it begins with -", message
        )
        raise InputError(f"{message}; `{self.prog} --help` lists the options")

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # noqa: ANN401  (as argparse has it)
        """Called by argparse with every value: say in our words that it is none of the choices of its option."""
        if action.choices is not None and value not in action.choices:
            raise unknown(
                action.option_strings[0] if action.option_strings else str(action.metavar), value, action.choices
            )

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """Write the help to `file`, stdout by default; argparse itself says nothing where that fails."""
        (file or sys.stdout).write(self.format_help())


def at_least_one(text: str) -> int:
    """The `type` of an option of argparse that takes a whole number of 1 or more.

    Raises:
        argparse.ArgumentTypeError: `text` is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return int(text)


def file_suffix(text: str) -> str:
    """The suffix of a file's name, given with or without its dot: `atr` of `.atr`."""
    return text.removeprefix(".")


def cpu_threads(text: str) -> int:
    """The `type` of an option of argparse that takes a number of threads on this machine.

    Raises:
        argparse.ArgumentTypeError: `text` is none.
    """
    threads, most = at_least_one(text), os.cpu_count() or 1
    if threads > most:
        raise argparse.ArgumentTypeError(f"{text}: this machine has {most}")
    return threads


def option(value: Any, text: str, *, default: str | None = None, metavar: str | None = None) -> Any:  # noqa: ANN401
    """A dataclass field that is an option of a command line.

    Args:
        value: of the field where the option is not given.
        text: what the option does, its unit and its choices; goes into `--help`.
        default: says in `--help` what a `value` of None stands for.
        metavar: stands for the value in `--help`.
    """
    says = default if default is not None else value
    return dataclasses.field(default=value, metadata={"help": text, "default": says, "metavar": metavar})


def add_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup, config: type[DataclassInstance]) -> None:
    """Add an option `--name` for every field of the dataclass `config` that `option` made.

    The type is the field's: bool is a flag, `tuple[X, ...]` takes one value or more, `X | None` an X. What is not
    given stays out of the parsed namespace, so that `config` alone knows the defaults.
    """
    kinds = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        if "help" not in field.metadata:
            continue
        shown = "off" if field.metadata["default"] is False else field.metadata["default"]
        arguments: dict[str, Any] = {"default": argparse.SUPPRESS, "metavar": field.metadata["metavar"]}
        kind = _without_none(kinds[field.name])
        if kind is bool:
            arguments = {"default": argparse.SUPPRESS, "action": "store_true"}
        elif typing.get_origin(kind) is tuple:
            arguments |= {"nargs": "+", "type": typing.get_args(kind)[0], "action": _StoreTuple}
        else:
            arguments["type"] = kind
        text = f"{field.metadata['help']} (default: {shown})".replace("%", "%%")  # argparse formats with %
        parser.add_argument(f"--{field.name}", help=text, **arguments)


def config_of(args: argparse.Namespace, config: type[Config]) -> Config:
    """A `config` of what was given of the options that `add_options` added for it; raises its errors."""
    names = {field.name for field in dataclasses.fields(config)}
    return config(**{name: value for name, value in vars(args).items() if name in names})


class _StoreTuple(argparse.Action):
    """Stores the values of an option as the tuple that its field is; argparse itself stores a list."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,  # noqa: ANN401  (a list, but argparse says less)
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, tuple(values))


def _without_none(kind: Any) -> Any:  # noqa: ANN401  (a type hint)
    """X | None -> X."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return next(part for part in typing.get_args(kind) if part is not types.NoneType)
    return kind
