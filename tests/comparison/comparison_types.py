"""What the fixtures of the comparison tests are, and where the demo's models lie."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

from generated_models import Storage

from whorl.core.evidence import Finding
from whorl.weights.in_memory import Checkpoint

DEMO = Path(__file__).parents[2] / "demo" / "models"
Access = Literal["weights", "fingerprint"]
Demo = Callable[[str, str, Access], Finding]


class Put(Protocol):
    """Write a checkpoint into a folder of its own."""

    def __call__(
        self,
        checkpoint: Checkpoint,
        *,
        vocabulary: Sequence[str] | None = (),
        storage: Storage = "F32",
        shards: int = 1,
    ) -> Path: ...
