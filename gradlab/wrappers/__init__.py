"""Optimizer → optimizer: what changes where or when an inner optimizer steps."""
