"""Lets ``python -m otelprof`` do what the ``otelprof`` script does."""

import sys

from otelprof.cli import main

if __name__ == "__main__":
    sys.exit(main())
