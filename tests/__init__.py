"""The tests of otelprof; a package, so that shared helpers are imported by one name: ``tests.gates``."""
