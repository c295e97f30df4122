"""Optimizers on problems, and what can be said about them afterwards.

    from pathlib import Path
    from gradlab import bench

    study = bench.read_study(Path("my_study.toml"))
    bench.run(study, Path("results"))
    results = bench.load_results("results")

The modules behind these names need the packages of the extra `bench`; they are loaded when a name
is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from gradlab.bench.errors import StudyError as StudyError
from gradlab.bench.results import Results as Results

if TYPE_CHECKING:
    from gradlab.bench.runner import run as run
    from gradlab.bench.store import load_results as load_results
    from gradlab.bench.study import Study as Study
    from gradlab.bench.study import read_study as read_study
    from gradlab.bench.study import shrink as shrink

_LATER = {
    "Study": "study",
    "load_results": "store",
    "read_study": "study",
    "run": "runner",
    "shrink": "study",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_LATER[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
