"""Rules whose update has one size for every coordinate."""
