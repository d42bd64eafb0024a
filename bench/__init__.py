"""Measurements: each prints a table, asserts nothing, and is run by hand or by ``make``."""
