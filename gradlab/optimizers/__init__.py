"""Complete update rules, one folder for each family."""
