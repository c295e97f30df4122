"""Make the reference data again: python -m tests.reference.generate [--only NAME].

Runs in an environment of its own, with the versions below (torch first: a plain torch pulls several
gigabytes of GPU libraries). Some data come from repositories without a package; they are made
when --checkouts names a folder with clones at the commits that the generators have under CHECKOUTS.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any

import numpy as np

from .load import CURVES, VALUES, current_hash

PINS = (
    "torch==2.13.0",
    "optax==0.2.8",
    "pytorch_optimizer==4.1.0",
    "torchjd==0.18.0",
    "quadprog==0.1.14",
    "qpsolvers==4.13.0",
    "adabelief-pytorch==0.2.1",
    "lion-pytorch==0.2.5",
    "schedulefree==1.4.1",
    "torch-adopt==0.1.0",
    "bitsandbytes==0.50.2",
    "cvxpy==1.9.3",
    "clarabel==0.11.1",
    "ecos==2.0.14",
    "torch-optimi==0.3.3",
    "torchopt==0.7.3",
    "higher==0.2.1",
    "betty-ml==0.1.1",
    "jaxopt==0.8.5",
    "scipy==1.17.1",
)


def check_versions() -> None:
    """Stop where another version is installed; a local label (+cpu) is no other version."""
    wrong = []
    for pin in PINS:
        name, wanted = pin.split("==")
        found = importlib.metadata.version(name).split("+")[0]
        if found != wanted:
            wrong.append(f"{name}: {wanted} wanted, {found} installed")
    if wrong:
        raise SystemExit("\n".join(wrong))


def all_cases(checkouts: Path | None) -> list[tuple[str, Any]]:
    """Each case with the name of its generator: every module here that has cases.

    They import torch and jax, so they are imported late.
    """
    found = []
    for path in sorted((Path(__file__).parent / "generators").glob("*.py")):
        module = importlib.import_module(f".generators.{path.stem}", __package__)
        made = module.cases() if hasattr(module, "cases") else []
        if checkouts is not None and hasattr(module, "authors_cases"):
            made += module.authors_cases(checkouts)
        found += [(path.stem, case) for case in made]
    names = [case.name for _, case in found]
    assert len(set(names)) == len(names), "two files of one name"
    return found


def version_of(generator: str, case: Any) -> str:
    if not case.checkout:
        return importlib.metadata.version(case.package)
    module = importlib.import_module(f".generators.{generator}", __package__)
    address, commit, *_ = module.CHECKOUTS[case.checkout]
    return f"{address} {commit}"


def write(generator: str, case: Any) -> Path:
    problem, arrays = case.run()
    meta = {
        "package": case.package,
        "version": version_of(generator, case),
        "function": case.function,
        "method": case.method,
        "settings": case.settings,
        "problem": problem,
        "dtype": case.dtype,
        "departures": case.departures,
        "notes": case.notes,
        "agrees": case.agrees,
        "rtol": case.rtol,
        "atol": case.atol,
        "generator": generator,
        "generator_sha256": current_hash(generator),
    }
    # What has no updates is no curve: `load.Values` says what it is.
    folder = CURVES if "updates" in arrays else VALUES
    floats = [a.dtype for a in arrays.values() if np.issubdtype(a.dtype, np.floating)]
    checked = [arrays["updates"].dtype] if folder is CURVES else floats
    assert {str(dtype) for dtype in checked} == {case.dtype}, case.name
    assert all(np.isfinite(values).all() for values in arrays.values()), case.name
    path = folder / f"{case.name}.npz"
    np.savez_compressed(path, meta=np.array(json.dumps(meta)), **arrays)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", metavar="NAME", help="part of the name of a file")
    parser.add_argument("--checkouts", type=Path, help="folder with the authors' repositories")
    options = parser.parse_args()
    check_versions()
    for folder in (CURVES, VALUES):
        folder.mkdir(exist_ok=True)
    for generator, case in all_cases(options.checkouts):
        if options.only is None or options.only in case.name:
            path = write(generator, case)
            print(f"{path.stem}  {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
