"""Rules that follow the gradient or an average of it."""
