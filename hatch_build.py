"""Build hook: names the machine in the wheel's tag, because the BPF objects inside read its registers."""

import platform
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class MachineTag(BuildHookInterface):  # type: ignore[type-arg]
    """Tags wheels ``py3-none-linux_MACHINE`` instead of ``any``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Set the tag before anything is built."""
        build_data["tag"] = f"py3-none-linux_{platform.machine()}"
