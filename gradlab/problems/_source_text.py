"""The Python standard library's own source as text to model: on every machine, and no download."""

import functools
import hashlib
import platform
import sysconfig
from pathlib import Path

import numpy as np

# Modules that have long been plain Python, in sorted order; the text differs a little between
# versions of Python, so the version and a hash of the text go with every result.
TRAINING_MODULES = (
    "argparse",
    "ast",
    "base64",
    "bisect",
    "calendar",
    "codecs",
    "configparser",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "difflib",
    "enum",
    "fractions",
    "functools",
)
HELD_OUT_MODULES = ("heapq", "statistics", "textwrap")

# Newline and the printable ASCII characters; the last symbol stands for every other character.
ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
SYMBOLS = len(ALPHABET) + 1


def encode(text: str) -> np.ndarray:
    """Returns the text as symbols in [0, SYMBOLS)."""
    number = {character: index for index, character in enumerate(ALPHABET)}
    return np.array([number.get(character, SYMBOLS - 1) for character in text], np.int32)


def _read(modules: tuple[str, ...], characters: int) -> str:
    folder = Path(sysconfig.get_paths()["stdlib"])
    text = ""
    for module in modules:
        path = folder / f"{module}.py"
        if not path.is_file():
            raise FileNotFoundError(
                f"the text problem reads the standard library's source, but {path} does not exist; "
                "it needs a Python installation with its .py files"
            )
        text += path.read_text(encoding="utf-8")
        if len(text) >= characters:
            break
    return text[:characters]


@functools.cache
def source_text(characters: int) -> tuple[str, str]:
    """Returns the training text of at most `characters` characters, and a held-out tenth of it."""
    return _read(TRAINING_MODULES, characters), _read(HELD_OUT_MODULES, characters // 10)


def sources(characters: int) -> dict[str, str]:
    """Returns the version of Python that the text comes from, and the text's hash."""
    text = "".join(source_text(characters))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return {"python": platform.python_version(), "text sha256": digest}
