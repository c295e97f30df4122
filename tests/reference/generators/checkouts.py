"""Code of repositories without a package: where it is, and that its bytes are the right ones."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path
from typing import Any, NamedTuple


class Checkout(NamedTuple):
    """One file of a repository at a commit, and its SHA-256."""

    address: str
    commit: str
    file: str
    sha256: str

    def definition(self, root: Path, name: str, **given: Any) -> Any:
        """A function or class of the file, made without the rest of it.

        The clone lies below `root`, in a directory of the repository's name. Many such files
        import what has nothing to do with their rule, so that what it needs is given by name.
        """
        path = root / self.address.rsplit("/", 1)[-1] / self.file
        source = path.read_bytes()
        found = hashlib.sha256(source).hexdigest()
        if found != self.sha256:
            raise SystemExit(f"{path} is not the file of commit {self.commit}: {found}")
        body = [node for node in ast.parse(source).body if getattr(node, "name", None) == name]
        assert body, f"{path} defines no {name}"
        names = dict(given)
        # Annotations stay text there, as they do here: compile inherits that.
        exec(compile(ast.Module(body, []), str(path), "exec"), names)
        return names[name]
