"""Imports point one way, heavy libraries stay out of the core, names stay findable."""

import ast
from pathlib import Path

import pytest

import gradlab

ROOT = Path(gradlab.__file__).parent
LAYERS = {
    # A room, and the rooms that its modules may import besides itself.
    "core": set(),
    "linalg": {"core"},
    "schedules": {"core"},
    "aggregators": {"core", "linalg"},
    "projections": {"core", "linalg"},
    "prox": {"core", "linalg"},
    "regularizers": {"core", "linalg"},
    "transforms": {"core", "linalg"},
    # Proximal ones take an operator; their working examples have one.
    "optimizers": {"core", "linalg", "projections", "prox"},
    # The working example of a wrapper wraps an optimizer.
    "wrappers": {"core", "linalg", "optimizers"},
    # So do the working examples of what trains by an optimizer that it is given.
    "meta": {"core", "linalg", "optimizers"},
    "solvers": {"core", "linalg", "meta", "optimizers", "transforms"},
    "problems": {"core"},
    "testing": {"core"},
}
FORBIDDEN_NAMES = {"utils", "misc", "common", "helpers"}
HEAVY = {
    "flax",
    "lineax",
    "optuna",
    "plotly",
    "pyarrow",
    "pydantic",
    "rich",
    "sklearn",
    "typer",
    "equinox",
}


def modules(folder=""):
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path, top_level_only=False):
    """Every imported module, as a dotted name."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms(path):
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "gradlab" and len(parts) > 1 and (ROOT / parts[1]).is_dir():
            yield parts[1]


@pytest.mark.parametrize("room", LAYERS)
def test_a_room_imports_only_what_lies_below_it(room):
    for path in modules(room):
        above = set(rooms(path)) - LAYERS[room] - {room}
        assert not above, f"{path.relative_to(ROOT)} imports {above}"


def test_an_optimizer_imports_no_other_family():
    for path in modules("optimizers"):
        family = path.relative_to(ROOT / "optimizers").parts[0]
        for name in imports(path):
            parts = name.split(".")
            if parts[:2] == ["gradlab", "optimizers"] and len(parts) > 3:
                assert parts[2] == family, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("room", ["bench", "examples"])
def test_bench_and_examples_use_public_names_only(room):
    for path in modules(room):
        for name in imports(path):
            parts = name.split(".")
            private = [p for p in parts[1:] if p.startswith("_") and p != "__future__"]
            outside = parts[0] == "gradlab" and parts[1:2] not in ([room], ["_version"])
            assert not (outside and private), f"{path.relative_to(ROOT)} imports {name}"


def test_rules_import_no_heavy_library():
    for room in set(LAYERS) - {"problems"}:
        for path in modules(room):
            loaded = {name.split(".")[0] for name in imports(path, top_level_only=True)}
            assert not loaded & HEAVY, f"{path.relative_to(ROOT)} imports {loaded & HEAVY}"


def test_no_module_has_a_name_that_says_nothing():
    for path in modules():
        assert path.stem.strip("_") not in FORBIDDEN_NAMES, path


def code_lines(path):
    """Lines that hold code: no blanks, comments or docstrings."""
    text = path.read_text()
    covered = set()
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                covered |= set(range(value.lineno, value.end_lineno + 1))
    lines = text.splitlines()
    return [
        line
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.strip().startswith("#") and number not in covered
    ]


@pytest.mark.parametrize(
    "room", ["optimizers", "projections", "prox", "transforms", "schedules", "regularizers"]
)
def test_a_method_fits_in_sixty_lines_of_code(room):
    for path in modules(room):
        if "matrix" in path.parts or room == "schedules":
            continue
        if "ENTRY" in path.read_text():
            assert len(code_lines(path)) <= 60, f"{path.name}: {len(code_lines(path))} lines"


def test_no_file_is_too_long_to_be_one_room():
    for path in modules():
        if path.name != "_optax.py":
            assert len(path.read_text().splitlines()) <= 400, path
