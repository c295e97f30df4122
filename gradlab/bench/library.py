"""Where the studies that come with gradlab are."""

from pathlib import Path

import gradlab
from gradlab.bench.errors import StudyError, unknown


def folders() -> tuple[Path, ...]:
    """Returns the folders that may hold shipped studies, the installed package's first.

    The wheel carries the studies inside the package; in a checkout they lie beside it.
    """
    package = Path(gradlab.__file__).resolve().parent
    candidates = (package / "configs", package.parent / "configs")
    return tuple(folder for folder in candidates if folder.is_dir())


def shipped() -> dict[str, Path]:
    """Returns the shipped studies by name, in alphabetical order."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in folder.glob("*.toml"):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def find(study: str) -> Path:
    """Finds a study.

    Args:
        study: the name of a shipped study, or the path of a file.

    Returns:
        The path of its file.

    Raises:
        StudyError: where there is no such file and no such name, with the nearest match.
    """
    path = Path(study)
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise StudyError(f"there is no study file {study}")
        return path
    available = shipped()
    if study not in available:
        raise StudyError(unknown("study", study, available) + ", or the path of a .toml file")
    return available[study]
