"""The house: which room may import which, and what a run needs to have installed (the floors of the design)."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT

# A room, which is a file or a folder -> its floor. It imports from floors below its own only.
FLOORS = {
    "main": 5,
    "report": 5,
    "reproduce": 5,
    "benchmarks": 6,  # measures all the others, and none of them imports it
    "trainer": 4,
    "run_folder": 3,
    "losses": 3,
    "rhythm": 3,
    "preprocess": 3,
    "models": 2,
    "dataloader": 2,
    "utils": 2,
    "kernels": 1,  # below models.py, which imports it
    "data_configs": 1,
    "hparams": 1,
    "ec57": 1,
    "support": 0,
}
ONE_ROOM = {  # modules that are one row of the design together
    "hparams": "data_configs",  # what a dataset is, and how it is trained
    "split_file": "dataloader",  # a split file, and the batches that are made of it
}
FOLDERS = {"benchmarks", "ec57", "kernels", "preprocess", "report", "reproduce", "run_folder", "support"}
UNDER_NO_ROOF = {"tests"}  # they import everything
BESIDE = {"data", "docs", "experiments_logs", "pretrained", "results"}


def files() -> list[Path]:
    """The Python files of every room, and of what should be one."""
    hidden = re.compile(r"\.|venv|__pycache__")
    return [
        path
        for path in sorted(ROOT.rglob("*.py"))
        if not any(hidden.match(part) for part in path.relative_to(ROOT).parts)
        and path.relative_to(ROOT).parts[0] not in UNDER_NO_ROOF | BESIDE
    ]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in files()}


@cache
def imports(module: str) -> tuple[tuple[str, int], ...]:
    """What `module` imports, wherever in it: modules of ours by their full names, others as they are; and the lines."""
    found = []
    tree = parsed(MODULES[module])
    only_for_types = {inner for node in ast.walk(tree) if is_for_types(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if node in only_for_types:
            continue
        if isinstance(node, ast.Import):
            found += [(name.name, node.lineno) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}:{node.lineno}: imports are absolute here"
            parts = [f"{node.module}.{name.name}" for name in node.names]
            found += [(part if part in MODULES else str(node.module), node.lineno) for part in parts]
    return tuple(found)


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def room_of(module: str) -> str:
    name = module.partition(".")[0]
    return ONE_ROOM.get(name, name)


def edges() -> Iterator[tuple[str, str, int]]:
    """Every import of one of our modules by another: importer, imported, line."""
    for module in MODULES:
        for name, line in imports(module):
            if name in MODULES or room_of(name) in FLOORS:
                yield module, name, line


def test_every_room_is_where_the_design_says() -> None:
    for room in FLOORS:
        path = ROOT / room if room in FOLDERS else ROOT / f"{room}.py"
        assert path.is_dir() if room in FOLDERS else path.is_file(), f"{path.name}: is not there"
        assert room not in FOLDERS or (path / "__init__.py").is_file(), f"{room}: is not a package"
    for name in BESIDE | UNDER_NO_ROOF:
        assert (ROOT / name).is_dir(), f"{name}: is not there"
    for room in ("benchmarks", "data", "ec57", "experiments_logs", "report"):
        assert (ROOT / room / "README.md").is_file(), f"{room}: has no README.md"


def test_every_module_has_a_floor() -> None:
    without = [module for module in MODULES if room_of(module) not in FLOORS]
    assert not without, f"the design knows no room of {', '.join(without)}"


def test_no_import_runs_up_or_sideways() -> None:
    wrong = [
        f"{importer}:{line} (floor {FLOORS[one]}) imports {imported} (floor {FLOORS[other]})"
        for importer, imported, line in dict.fromkeys(edges())
        if (one := room_of(importer)) != (other := room_of(imported)) and FLOORS[one] <= FLOORS[other]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_import_runs_in_a_circle() -> None:
    """Modules of one room too; what a function imports counts like the rest."""
    graph = {module: {name for name, _ in imports(module) if name in MODULES} for module in MODULES}
    while leaves := [module for module, imported in graph.items() if not imported & graph.keys() - {module}]:
        for module in leaves:
            del graph[module]
    assert not graph, f"in a circle, or above one: {', '.join(sorted(graph))}"


def test_the_tests_of_a_room_can_be_found() -> None:
    """In one file a room; a big room has more, one a module, of preprocess without its name: test_records.py."""
    for room in FLOORS:
        assert (ROOT / "tests" / f"test_{room}.py").is_file() or room in ("data_configs", "hparams"), room


def test_no_test_file_needs_another() -> None:
    """What several share is in conftest.py or in a made_*.py."""
    for path in (ROOT / "tests").glob("*.py"):
        modules = [node.module or "" for node in ast.walk(parsed(path)) if isinstance(node, ast.ImportFrom)]
        assert not [module for module in modules if module.startswith("test_")], path.name


def test_unknown_names_are_told_in_one_form() -> None:
    """By `support.errors.unknown`: "--dataset eeg: unknown; choose from mit, ptb"."""
    telling = [module for module, path in MODULES.items() if "choose from" in path.read_text(encoding="utf-8")]
    assert telling == ["support.errors"]


# ------------------------------------------------------------------------------------------------- what is installed


def others() -> dict[str, str]:
    """The packages of others that our files import, tests too: name -> a file that imports it."""
    found: dict[str, str] = {}
    for path in [*files(), *(ROOT / "tests").glob("*.py")]:
        for node in ast.walk(parsed(path)):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in map(room_of, names):
                own = name in FLOORS or (ROOT / "tests" / f"{name}.py").is_file()
                if not own and name not in {*sys.stdlib_module_names, "_typeshed"}:  # the latter: for type hints alone
                    found.setdefault(name, str(path.relative_to(ROOT)))
    return found


def test_every_package_that_is_imported_is_pinned() -> None:
    pinned = {
        match[1].lower()
        for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
        if (match := re.fullmatch(r"([\w.-]+)==[\w.+]+", line.partition("#")[0].strip()))
    }
    sources = importlib.metadata.packages_distributions()
    for package, path in others().items():
        names = {name.lower() for name in sources.get(package, [])}
        assert names & pinned, f"{path} imports {package}, which requirements.txt does not pin"


def test_heavy_packages_are_imported_where_they_are_used() -> None:
    """Training starts with torch, numpy, pandas, tqdm and torch's filelock; others come when they are used."""
    light = {"torch", "numpy", "pandas", "tqdm", "filelock"}
    for module, path in MODULES.items():
        for node in parsed(path).body:
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            for name in map(room_of, names):
                assert name in light | FLOORS.keys() | sys.stdlib_module_names, f"{module} imports {name} at its head"


@pytest.mark.parametrize("text", ["import main", "from trainer import Trainer", "def f():\n    import main"])
def test_a_wrong_import_is_found(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "errors.py").write_text(text)
    monkeypatch.setitem(MODULES, "support.errors", tmp_path / "errors.py")
    imports.cache_clear()
    try:
        with pytest.raises(AssertionError, match=r"support.errors:\d"):
            test_no_import_runs_up_or_sideways()
    finally:
        imports.cache_clear()


def test_a_circle_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "launch.py").write_text("def f():\n    from support.errors import InputError")
    monkeypatch.setitem(MODULES, "support.launch", tmp_path / "launch.py")
    imports.cache_clear()
    try:
        with pytest.raises(AssertionError, match=r"in a circle, or above one: .*support\.errors, .*support\.launch"):
            test_no_import_runs_in_a_circle()
    finally:
        imports.cache_clear()


def test_the_trainer_holds_no_book_keeping() -> None:
    """What describes, keeps and resumes a run is run_folder's: the trainer itself writes and moves no file.

    And one run is read in one sitting.
    """
    text = (ROOT / "trainer.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 450
    tree = ast.parse(text)
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    called = {func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in calls}
    assert {"seed_everything", "run_log", "keep", "resume"} <= called  # it is read
    writers = {"open", "mkdir", "unlink", "rename", "replace_file", "save", "save_checkpoint", "to_csv", "dump"}
    assert not {name for name in called if name in writers or re.match(r"write_(text|bytes|table|json)$", name)}
