import subprocess
import sys

import pytest

import otelprof.model


def test_every_listed_name_exists_and_is_no_module() -> None:
    for name in otelprof.model.__all__:
        assert getattr(otelprof.model, name).__class__.__name__ != "module"


def test_other_names_do_not_exist() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        otelprof.model.nothing  # noqa: B018


def test_plain_stacks_cost_no_protobuf() -> None:
    code = "import sys, otelprof.model.stack; print([name for name in sys.modules if 'protobuf' in name])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"
