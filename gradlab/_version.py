"""The version, as the wheel and `gradlab --version` say it."""

__version__ = "0.1.0"
