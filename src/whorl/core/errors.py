"""The one error tree.

::

    WhorlError
    ├── InputError                bad input or usage; the command line exits with 2
    │   ├── CheckpointError       a checkpoint's bytes are broken, lying or hostile
    │   ├── UnsupportedError      a known format, quantisation or architecture that is not read
    │   └── FingerprintError      a stored fingerprint is broken or of another version
    └── VerificationError         something that was claimed does not hold; the command line exits with 1

Every message says what was expected, what was found and what to do about it. `ValueError` stays for a caller's
programming mistake; anything a file can cause is a `WhorlError`.
"""

from pathlib import Path


class WhorlError(Exception):
    """Base of every error that Whorl raises on purpose."""


class InputError(WhorlError):
    """The input cannot be used; nothing was written."""


class CheckpointError(InputError):
    """A checkpoint is broken, lies about itself or is hostile.

    Parameters
    ----------
    problem : what was expected, what was found and what to do
    file : the file at fault
    tensor : the tensor at fault, where one is known
    """

    def __init__(self, problem: str, *, file: Path, tensor: str | None = None) -> None:
        self.problem = problem
        self.file = file
        self.tensor = tensor
        where = f"{file}" if tensor is None else f"{file}: tensor {tensor!r}"
        super().__init__(f"{where}: {problem}")


class UnsupportedError(InputError):
    """Well-formed input in a format, quantisation or architecture that Whorl does not read."""


class FingerprintError(InputError):
    """A stored fingerprint is broken, altered or of a version this release does not read."""


class VerificationError(WhorlError):
    """A claim was checked and does not hold."""
