"""Measurements, by `make bench`; never part of the tests: machines are shared and noisy."""
