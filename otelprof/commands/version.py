"""``otelprof version``: which otelprof this is and what it stands on."""

import argparse
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from otelprof import __version__
from otelprof.errors import MissingFeature

__all__ = ("DESCRIPTION", "EXAMPLES", "add_arguments", "run")

DESCRIPTION = "Print the versions of otelprof, of the libraries it uses and of the kernel; paste it into bug reports."
EXAMPLES = """\
  otelprof version
  otelprof version | grep libbpf
"""

_DISTRIBUTIONS = ("opentelemetry-proto", "protobuf", "grpcio", "prometheus-client", "pyelftools", "zstandard")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare nothing: there is one way to print versions."""


def run(_args: argparse.Namespace) -> int:
    """Print one ``name version`` line each; imports none of the libraries."""
    lines = {
        "otelprof": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "kernel": f"{platform.release()} {platform.machine()}",
        "libbpf": _libbpf_version(),
    }
    lines |= {name: _distribution_version(name) for name in _DISTRIBUTIONS}
    width = max(map(len, lines))
    sys.stdout.writelines(f"{name:{width}}  {value}\n" for name, value in lines.items())
    return 0


def _distribution_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _libbpf_version() -> str:
    from otelprof.sampler.libbpf import libbpf_version

    try:
        return libbpf_version()
    except MissingFeature as error:
        return str(error)
