"""Rules that act on whole matrices."""
