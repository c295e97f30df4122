"""The directory of one study: what lies where, and that it belongs to this study."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from gradlab.bench import segments
from gradlab.bench.errors import StudyError
from gradlab.bench.grid import digest_of, groups, made, record, resolved
from gradlab.bench.results import ProblemInfo
from gradlab.bench.study import ProblemSpec, Study, parse_study


@dataclasses.dataclass(frozen=True)
class Directory:
    """The paths of a study directory.

    Args:
        root: the directory.
    """

    root: Path

    @property
    def study(self) -> Path:
        """The study, spelled out, with its hash."""
        return self.root / "study.json"

    @property
    def trials(self) -> Path:
        """The trials and their states."""
        return self.root / "optuna.sqlite"

    @property
    def claims(self) -> Path:
        """Who works on what."""
        return self.root / "claims.sqlite"

    @property
    def environment(self) -> Path:
        """What the study ran on."""
        return self.root / "environment.json"

    @property
    def report(self) -> Path:
        """The report."""
        return self.root / "report.html"

    def group(self, name: str) -> Path:
        """The segments of a group."""
        return self.root / "groups" / name

    def timing(self, problem: str, label_index: int) -> Path:
        """The timing of one optimizer on one problem."""
        return self.root / "timings" / f"{problem}--{label_index:03d}.json"

    def trajectories(self, label_index: int) -> Path:
        """The trajectories of one optimizer."""
        return self.root / "trajectories" / f"{label_index:03d}.parquet"


def open_directory(root: Path, study: Study, command: str = "") -> Directory:
    """Opens the directory of a study, or begins it.

    Args:
        root: the directory.
        study: the study.
        command: the command that runs the study, to be shown with its results.

    Returns:
        The directory.

    Raises:
        StudyError: where the directory holds the results of another study, or something else.
    """
    directory = Directory(Path(root))
    digest = digest_of(resolved(study))
    if directory.study.is_file():
        stored = read_json(directory.study)
        if stored["hash"] != digest:
            raise StudyError(
                f"{root} holds the study {stored['study']['name']!r} with the configuration "
                f"{stored['hash'][:12]}, and this one is {study.name!r} with {digest[:12]}; "
                "results of different configurations are never mixed: choose another directory"
            )
        return directory
    if directory.root.is_dir() and any(directory.root.iterdir()):
        raise StudyError(f"{root} is not empty and holds no study: choose another directory")
    content = {
        "hash": digest,
        "command": command,
        "study": study.model_dump(mode="json", exclude={"tiny"}),
        "resolved": resolved(study),
        # What a reader needs, so that results can be read when the catalogue has moved on.
        "problems": [dataclasses.asdict(_problem_info(study, spec)) for spec in study.problems],
        "groups": [dataclasses.asdict(record(group)) for group in groups(study)],
    }
    segments.write_atomically(directory.study, json.dumps(content, indent=2) + "\n")
    return directory


def _problem_info(study: Study, spec: ProblemSpec) -> ProblemInfo:
    problem = made(spec)
    return ProblemInfo(
        name=spec.name,
        title=problem.title,
        metric=problem.metric,
        metric_unit=problem.metric_unit,
        target=spec.target,
        target_origin=spec.target_origin,
        horizon=spec.horizon,
        batch_size=problem.batch_size,
        schedule=study.schedule.words,
        parameters=problem.parameters,
    )


STORED_PARTS = ("study", "resolved", "hash", "problems", "groups", "command")
"""What the file of a study has to hold for its results to be read."""


def stored_study(root: Path) -> tuple[Study, dict[str, Any]]:
    """Reads the study that a directory belongs to.

    Args:
        root: the directory.

    Returns:
        The study, and everything that is stored of it.

    Raises:
        StudyError: where the directory holds no study.
    """
    directory = Directory(Path(root))
    if not directory.study.is_file():
        raise StudyError(f"{root} holds no study: there is no {directory.study.name} in it")
    stored = read_json(directory.study)
    missing = [part for part in STORED_PARTS if part not in stored]
    if missing:
        raise StudyError(
            f"{directory.study} lacks {missing[0]!r}: it was written by another version; "
            "run the study again in a new directory"
        )
    return parse_study(stored["study"]), stored


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Args:
        path: the file.

    Returns:
        Its content.

    Raises:
        StudyError: where the file is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StudyError(f"{path}: not a JSON file: {error}") from None
