"""Where the studies that come with gradlab are."""

from pathlib import Path

import gradlab
from gradlab.bench.errors import StudyError
from gradlab.core import unknown


def folder() -> Path:
    """Returns the folder of the shipped studies.

    The wheel carries them inside the package; in a checkout they lie beside it.
    """
    package = Path(gradlab.__file__).resolve().parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def shipped() -> dict[str, Path]:
    """Returns the shipped studies by name, in alphabetical order."""
    return {path.stem: path for path in sorted(folder().glob("*.toml"))}


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
