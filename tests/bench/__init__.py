"""Measures what otelprof costs: ``make bench``, or ``python -m tests.bench``."""
