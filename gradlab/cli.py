"""The `gradlab` command; what it does is in `gradlab.bench.commands`."""

import importlib.util
import sys

_NEEDED = ("typer", "rich", "pydantic", "optuna", "pyarrow", "flax", "sklearn", "plotly")


def main() -> None:
    """Runs the command line.

    Raises:
        SystemExit: with 0 after success, 1 after a failure, 2 for a wrong command line.
    """
    missing = [module for module in _NEEDED if importlib.util.find_spec(module) is None]
    if missing:
        print(
            "error: the gradlab command needs the packages of the extra 'bench' "
            f"(missing: {', '.join(missing)}); install them with: pip install 'gradlab[bench]'",
            file=sys.stderr,
        )
        raise SystemExit(1)
    from gradlab.bench.commands import run_app

    run_app()


if __name__ == "__main__":
    main()
