"""Writes what is derived from the catalogue: `python -m gradlab._generate`.

The typed exports of each family, the catalogue in the README, and HYPERGRADIENTS.md. A new method
needs none of them by hand; a test says when this has to be run again.
"""

from __future__ import annotations

import ast
from pathlib import Path

from gradlab import catalog
from gradlab.testing import derivative_table

PACKAGE = Path(__file__).parent
README = PACKAGE.parent / "README.md"
HYPERGRADIENTS = PACKAGE.parent / "HYPERGRADIENTS.md"
BEGIN, END = "<!-- catalogue: begin -->", "<!-- catalogue: end -->"


def family_folders() -> list[Path]:
    """Folders whose modules declare catalogue entries."""
    folders = {path.parent for path in PACKAGE.rglob("_*.py") if _has_entry(path)}
    return sorted(folders)


def _has_entry(path: Path) -> bool:
    return path.name != "__init__.py" and "\nENTRY = " in path.read_text(encoding="utf-8")


def exported_init(folder: Path) -> str:
    """The folder's `__init__.py` with a line for every public function of its methods."""
    path = folder / "__init__.py"
    text = path.read_text(encoding="utf-8")
    package = ".".join(folder.relative_to(PACKAGE.parent).parts)
    own = [
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}.")
    ]
    exports = {(node.module or "", alias.name) for node in own for alias in node.names}
    exports |= {
        (f"{package}.{module.stem}", name)
        for module in folder.glob("_*.py")
        if _has_entry(module)
        for name in _public_functions(module)
    }
    covered = {n for node in own for n in range(node.lineno, (node.end_lineno or 0) + 1)}
    rest = [line for n, line in enumerate(text.splitlines(), 1) if n not in covered]
    return "\n".join([*rest, *map(_export, sorted(exports, key=_by_module))]) + "\n"


def _by_module(export: tuple[str, str]) -> tuple[str, bool, str]:
    module, name = export
    return module, not name[0].isupper(), name


def _export(export: tuple[str, str]) -> str:
    module, name = export
    line = f"from {module} import {name} as {name}"
    return line if len(line) <= 100 else f"from {module} import (\n    {name} as {name},\n)"


def _public_functions(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    declared = _declared_function(tree)
    return [
        node.name
        for node in functions
        if not node.name.startswith("_") and (_is_public(node) or node.name == declared)
    ]


def _declared_function(tree: ast.Module) -> str:
    """The name of the function that the module's entry declares."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ENTRY":
            call = node.value
            return ast.unparse(call.args[0]) if isinstance(call, ast.Call) and call.args else ""
    return ""


def _is_public(node: ast.FunctionDef) -> bool:
    """Public functions of a method return a transform, or are made by `builds`."""
    built = any("builds" in ast.unparse(decorator) for decorator in node.decorator_list)
    return built or (node.returns is not None and "Transform" in ast.unparse(node.returns))


def catalogue_table() -> str:
    """The catalogue as a table in Markdown, room by room."""
    told = "How exact the hypergradients of each are: [HYPERGRADIENTS.md](HYPERGRADIENTS.md)."
    rows = [told, "", "| method | what it does | room | paper |", "|---|---|---|---|"]
    for entry in sorted(catalog.entries(), key=lambda e: (e.room, e.family, e.name)):
        paper = catalog.bibliography()[entry.paper[0]]
        source = f"arXiv:{paper['arxiv']}" if paper.get("arxiv") else paper["venue"]
        room = "/".join(filter(None, (entry.room, entry.family)))
        summary = entry.summary.rstrip(".").replace("|", "\\|")
        cited = (
            f"{paper['authors'].split(',')[0].split(' and ')[0]} et al. {paper['year']}, {source}"
        )
        rows.append(f"| `{entry.name}` | {summary} | {room} | {cited} |")
    return "\n".join(rows)


def readme() -> str:
    """The README with its catalogue brought up to date."""
    text = README.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n{catalogue_table()}\n{END}{tail}"


_OF_KIND = {
    "transformation": (
        "Update rules",
        "The contract's problem is trained for 20 steps in float64, and its final loss is "
        "differentiated by every hyperparameter and along one direction of the initial parameters.",
    ),
    "regularizer": (
        "Regularizers",
        "The contract's problem is trained for 5 steps of gradient descent with the penalty, or on "
        "the parameters that it makes, and its final loss without it is differentiated by every "
        "hyperparameter and along one direction of the initial parameters.",
    ),
    "hypergradient": (
        "Ways to a hypergradient",
        "Its estimate on the contract's quadratic bilevel problem, by every outer variable; of a "
        "stochastic one the mean of 256 draws. Errors are relative to the largest derivative. A "
        "biased one is not meant to come to the difference.",
    ),
    "bilevel": (
        "Methods for bilevel problems",
        "Eight steps on the contract's quadratic bilevel problem in float64; the outer objective "
        "at the end is differentiated by every hyperparameter. *Finite* is said of a problem whose "
        "inner gradients are exactly zero at every step.",
    ),
    "solver": (
        "Solvers",
        "An outer objective of the solution of the contract's problem, which is known, by every "
        "number that the solution depends on, in float64 and for a tolerance of 1e-9. Errors are "
        "relative to the largest derivative. *Finite* is said of a problem whose gradients are "
        "exactly zero.",
    ),
    "operator": (
        "Operators on trees",
        "A weighted sum of the numbers that it makes of the contract's tree, in float64, "
        "differentiated along one direction of the tree, of each strength (or array that "
        "describes a set) and of the scaling. *Finite* is said of trees that are zero, of equal "
        "numbers, of numbers at a threshold.",
    ),
}
"""What is said above the table of each kind."""


def hypergradients() -> str:
    """The page of hypergradients: a table for each kind of function, a row for each method."""
    rows = derivative_table.rows()
    parts = [
        "# Hypergradients of every method",
        "",
        "How far derivatives through training are from central differences in float64, relative "
        "to these (or, where the difference is smaller, to a thousandth of the loss for a change "
        "of the hyperparameter by its own size): orders of magnitude, rounded up. A difference is "
        "inexact itself, by the square of its step of 1e-4 times what the third derivative is; "
        "1e-6 says nothing against a derivative. *Finite*: whether all derivatives, in float32 and "
        "in both modes, are numbers at the configured values where gradients are exactly zero (a "
        "dead unit, a row that is never read, a head that is zero, a parameter without effect).",
        "",
        "`python -m gradlab.testing.derivative_table` measures methods that have no row yet, with "
        "names those; `python -m gradlab._generate` writes this page.",
    ]
    for kind, (title, text) in _OF_KIND.items():
        found = [entry for entry in catalog.entries() if entry.kind == kind and entry.name in rows]
        if found:
            parts += ["", f"## {title}", "", text, ""]
            parts += _derivatives(found, rows)
    return "\n".join(parts) + "\n"


def _derivatives(entries: list[catalog.Entry], rows: dict[str, derivative_table.Row]) -> list[str]:
    modes = list(rows[entries[0].name]["errors"])
    titles = [f"{mode}: median, largest" for mode in modes]
    head = ["method", *titles, "finite", "by variable", "where not smooth, or biased"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for entry in entries:
        row = rows[entry.name]
        finite = f"**no**: {row['not_finite']}" if row["not_finite"] else "yes"
        said = [derivative_table.summary(row, mode) for mode in modes]
        cells = [f"`{entry.name}`", *said, finite, derivative_table.by_variable(row), _rough(entry)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def _rough(entry: catalog.Entry) -> str:
    if entry.kind in ("transformation", "regularizer", "operator"):
        return entry.traits.kinks or "smooth"
    return entry.traits.biased


def main() -> None:
    """Writes every derived text."""
    for folder in family_folders():
        (folder / "__init__.py").write_text(exported_init(folder), encoding="utf-8")
    README.write_text(readme(), encoding="utf-8")
    HYPERGRADIENTS.write_text(hypergradients(), encoding="utf-8")


if __name__ == "__main__":
    main()
