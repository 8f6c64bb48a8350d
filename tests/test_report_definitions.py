"""The definitions: each is an option that is read, listed, explained and kept within its range."""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
from typing import Any

import pytest
from conftest import ROOT
from made_rhythms import DEFAULTS

from report.__main__ import build_parser
from report.definitions import _ANY_SIGN, _FEWEST, CLASSLESS_THRESHOLDS, Definitions, Quality
from support.cli import add_options
from support.errors import InputError


def test_every_definition_is_an_option_that_is_read_and_listed() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser, Definitions)
    assert Definitions(**vars(parser.parse_args([]))) == DEFAULTS
    given = parser.parse_args(["--fusion_in_runs", "--vt_min_beats", "5", "--pause", "2.2"])
    assert Definitions(**vars(given)) == Definitions(fusion_in_runs=True, vt_min_beats=5, pause=2.2)
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "report").glob("*.py"))
    helped = build_parser().format_help()
    for definition in DEFAULTS.listed():
        assert f"--{definition.name}" in helped
        assert definition.value == getattr(DEFAULTS, definition.name)
        assert definition.text and definition.source
        assert re.search(rf"definitions\.{definition.name}\b", code), f"--{definition.name} is not read"


def test_every_threshold_is_explained_by_itself_as_the_help_shows_it() -> None:
    for definition in (*DEFAULTS.listed(), *Quality().listed()):
        assert definition.text.split()[0] not in ("and", "but", "or", "nor", "for", "its"), definition.name


def test_what_is_said_of_a_threshold_by_its_name_is_of_one_that_is_there() -> None:
    names = {field.name for field in dataclasses.fields(Definitions)}
    assert {*_FEWEST, *_ANY_SIGN, *CLASSLESS_THRESHOLDS} <= names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vt_min_beats": 2}, "--vt_min_beats must be at least 3, got 2"),
        ({"pause": 0}, "--pause must be a number above 0, got 0"),
        ({"pause": math.nan}, "--pause must be a number above 0, got nan"),
        ({"irregular_entropy": math.inf}, "--irregular_entropy must be a number, such as -1, got inf"),
        ({"pause": 2.5}, "--pause 2.5 must be below --pause_long, 2.5: give --pause_long too"),
        ({"bradycardia": 120}, "--bradycardia 120 must be below --tachycardia, 100: give --tachycardia too"),
        ({"burden_high": 101}, "--burden_high must be at most 100 %, got 101"),
        ({"bigeminy_min": 5 * 10**9}, "--bigeminy_min must be at most 1,000,000, got 5000000000"),
    ],
)
def test_definitions_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        Definitions(**options)
