"""otelprof: a whole-host sampling profiler that speaks OTLP profiles."""

__version__ = "0.1.0"

__all__ = ("__version__",)
