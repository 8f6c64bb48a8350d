"""Dataclasses from dicts that a file holds: every value is checked against the annotation of its field."""

from __future__ import annotations

import dataclasses
import reprlib
import sys
from collections.abc import Callable, Mapping
from pathlib import PurePath
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from support.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
ANOTHER_VERSION = "was it written by another version of this package?"
AT_HAND: dict[type, Callable[[Any], object]] = {list: tuple, PurePath: str, np.generic: np.generic.item}
"""Values that callers in Python have at hand, such as numpy's numbers -> what makes plain ones of them."""


def from_fields(kind: type[T], values: object, where: str) -> T:
    """Make a dataclass `kind` of `values`, name -> value; a field that they lack gets its default.

    Args:
        where: the file and the part of it that `values` come from, for the messages.

    Raises:
        InputError: `values` is not a dict, a name is unknown or lacking, or a value is not what the field's annotation
            says, or not in the range that `kind` itself insists on. Floating-point numbers must be finite; a whole
            number is one too, a list does for a tuple, and a dict for a field that is a dataclass.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{where} is a {type(values).__name__}; a dict is needed")
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}
    hints = get_type_hints(kind)
    for name in values:
        if name not in fields:
            raise InputError(f"{where}: {reprlib.repr(name)} is unknown; {ANOTHER_VERSION}")
    taken = dict(values)
    for name, entry in fields.items():
        if name in values:
            value, hint = values[name], hints[name]
            if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
                taken[name] = from_fields(hint, value, f"{where}: {name}")
                continue
            if isinstance(value, list) and not fits(value, hint):  # JSON has lists only, and we have few
                taken[name] = tuple(value)
            if not fits(taken[name], hint):
                raise InputError(f"{where}: {name} is {reprlib.repr(value)}; {_in_words(hint)} is needed")
        elif entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING:
            raise InputError(f"{where}: {name} is missing; {ANOTHER_VERSION}")
    try:
        return kind(**taken)
    except InputError as error:  # a value is out of its range: the message names the field
        raise InputError(f"{where}: {error}") from error


def settle_types(config: object, prefix: str = "") -> None:
    """Check the values of a dataclass against the annotations of its fields; call it first in `__post_init__`.

    What a caller in Python has `AT_HAND` becomes what a field is, frozen or not.

    Args:
        prefix: stands before the name of a field in a message: "--" of an option.

    Raises:
        InputError: a value is not what the annotation says, as `from_fields` has it.
    """
    for name, hint in get_type_hints(type(config)).items():
        value = getattr(config, name)
        for kind, plain in AT_HAND.items():
            if isinstance(value, kind) and not fits(value, hint):
                value = plain(value)
                object.__setattr__(config, name, value)
        if not fits(value, hint):
            raise InputError(
                f"{prefix}{name} must be {_in_words(hint).removesuffix(' or None')}, got {reprlib.repr(value)}"
            )


def fits(value: object, hint: Any) -> bool:  # noqa: ANN401  (an annotation is not a type: it may be `int | None`)
    """Whether `value` is what the annotation `hint` says: plain types, unions, tuples, lists and dicts of them."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(fits(value, choice) for choice in arguments)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(arguments) == 2 and arguments[1] is ...:
            return all(fits(item, arguments[0]) for item in value)
        return len(value) == len(arguments) and all(map(fits, value, arguments))
    if origin is list:
        return isinstance(value, list) and all(fits(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            fits(key, arguments[0]) and fits(item, arguments[1]) for key, item in value.items()
        )
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return isinstance(value, hint) and (hint is not int or not isinstance(value, bool))


def _in_words(hint: Any) -> str:  # noqa: ANN401
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(map(_in_words, get_args(hint)))
    words = {int: "a whole number", float: "a finite number", str: "a string", bool: "True or False", NoneType: "None"}
    return words.get(hint) or f"a {hint if get_origin(hint) else hint.__name__}"
