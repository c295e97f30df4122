"""Small studies that the tests of the runner share."""

import copy
import json
from pathlib import Path
from typing import Any

from gradlab.bench.check import check
from gradlab.bench.study import Study, parse_study

SMALL: dict[str, Any] = {
    "name": "small",
    "baseline": "sgd",
    "seeds": [0, 1],
    "rates": {"count": 2},
    "probe": {"repetitions": 2},
    "problems": [
        {
            "name": "digits_logistic",
            "horizon": 12,
            "evaluations": 3,
            "target": 1.5,
            "target_origin": "fixed by hand for the tests",
            "settings": {"batch_size": 8},
        }
    ],
    "optimizers": [{"name": "sgd", "learning_rate": 0.3}],
}


def tables(**changes: Any) -> dict[str, Any]:
    """The tables of the small study, some of them changed."""
    return {**copy.deepcopy(SMALL), **changes}


def small(**changes: Any) -> Study:
    """The small study, some of its tables changed."""
    study = parse_study(tables(**changes))
    check(study)
    return study


def problem(**changes: Any) -> dict[str, Any]:
    """The table of the small study's problem, changed."""
    return {**copy.deepcopy(SMALL["problems"][0]), **changes}


def begun(root: Path) -> dict[str, list[tuple[int, int]]]:
    """Every segment that was begun, by group and in order: its number and the process."""
    found = {}
    for path in sorted(root.glob("groups/*/log.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        found[path.parent.name] = [(line["segment"], line["process"]) for line in lines]
    return found
