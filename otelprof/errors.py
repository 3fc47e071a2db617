"""Every exception that otelprof raises on purpose.

::

    OtelprofError                 anything below; its text is one sentence with the fix
    ├── UsageError                what was asked cannot be understood      (exit code 2)
    │   └── ConfigError           a configuration file or variable is wrong
    ├── EnvironmentFailure        the machine cannot do what was asked     (exit code 1)
    │   ├── MissingPrivilege      a capability or sysctl forbids it
    │   ├── MissingFeature        kernel or library lacks a required feature
    │   └── BpfError              the kernel refused a program, map or attachment
    ├── ProcessGone               a process ended before it could be read
    ├── FileUnavailable           a file of a process cannot be opened
    ├── InputError                a file could not be read
    ├── OutputError               a file could not be written
    ├── BadInput                  bytes from outside are not what they claim to be
    │   ├── BadElf                not an ELF file, or a damaged one
    │   ├── BadArtifact           a cached artifact is damaged or of another version
    │   ├── BadProfile            not an OTLP profiles message
    │   ├── BadSample             a sample that OTLP cannot express
    │   └── BadRecord             a record from the kernel has an impossible shape
    ├── WorkerFailure             the parsing worker died, hung or ran out of budget
    └── ExportError               an exporter could not deliver
"""

__all__ = (
    "BadArtifact",
    "BadElf",
    "BadInput",
    "BadProfile",
    "BadRecord",
    "BadSample",
    "BpfError",
    "ConfigError",
    "EnvironmentFailure",
    "ExportError",
    "FileUnavailable",
    "InputError",
    "MissingFeature",
    "MissingPrivilege",
    "OtelprofError",
    "OutputError",
    "ProcessGone",
    "UsageError",
    "WorkerFailure",
)


class OtelprofError(Exception):
    """Base of all errors raised on purpose; ``str()`` is one sentence for the user."""

    exit_code = 1


class UsageError(OtelprofError):
    """What was asked cannot be understood: unknown flag, suffix or exporter, value out of range."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration file or environment variable holds a wrong key or value."""


class EnvironmentFailure(OtelprofError):
    """The machine cannot do what was asked."""


class MissingPrivilege(EnvironmentFailure):
    """The process may not do what is needed; the text names the capability or setting."""


class MissingFeature(EnvironmentFailure):
    """The kernel or a library lacks something required; the text names it and its release."""


class BpfError(EnvironmentFailure):
    """The kernel refused a BPF program, map or attachment; the text holds the useful log line."""


class ProcessGone(OtelprofError):
    """A process ended, or became another program, before it could be read."""

    def __init__(self, pid: int) -> None:
        """Name the process that is gone."""
        super().__init__(f"process {pid} has ended")
        self.pid = pid


class FileUnavailable(OtelprofError, OSError):
    """A file of another process cannot be opened: not there any more, replaced, or not a regular file."""


class InputError(OtelprofError):
    """A file that the user named could not be read."""


class OutputError(OtelprofError):
    """A file could not be written."""


class BadInput(OtelprofError, ValueError):
    """Bytes from outside are not what they claim to be."""


class BadElf(BadInput):
    """Not an ELF file that can be read, or a damaged one."""


class BadArtifact(BadInput):
    """A cached artifact is damaged, truncated or of another version."""


class BadProfile(BadInput):
    """Not an OTLP profiles message."""


class BadSample(BadInput):
    """A sample cannot be expressed in OTLP: a number out of range, a repeated attribute, no time and no value."""


class BadRecord(BadInput):
    """A record from the kernel has an impossible shape."""


class WorkerFailure(OtelprofError):
    """The parsing worker died, hung or ran out of its budget."""


class ExportError(OtelprofError):
    """An exporter could not deliver a batch."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        """Say what happened and whether the same bytes may be sent again."""
        super().__init__(message)
        self.retryable = retryable
