"""The release protocol: draw a key for a model, and make the copy that carries its mark."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from whorl.comparison.keyed import require_model
from whorl.comparison.subjects import content_digest
from whorl.core.progress import Progress
from whorl.fingerprints.weight_fingerprint import JOBS, fingerprint_checkpoint
from whorl.weights.opening import open_checkpoint
from whorl.weights.release_key import KEY_BYTES, ReleaseKey, new_key
from whorl.weights.releasing import Release, require_releasable, write_release


def draw_key(
    checkpoint: Path,
    *,
    dither: float,
    random_bytes: Callable[[int], bytes],
    now: Callable[[], datetime],
    progress: Progress,
    jobs: int = JOBS,
) -> ReleaseKey:
    """A new key for the undithered model at ``checkpoint``.

    Parameters
    ----------
    dither : size of the dither over each matrix's standard deviation
    random_bytes : `secrets.token_bytes`; tests pass a seeded generator's

    Raises
    ------
    InputError
        If the checkpoint cannot be read, or no release can be made of it.
    """
    require_releasable(open_checkpoint(checkpoint))
    taken = fingerprint_checkpoint(checkpoint, progress=progress, jobs=jobs)
    return new_key(
        key=random_bytes(KEY_BYTES),
        salt=random_bytes(KEY_BYTES),
        model=content_digest(taken.view()),
        fingerprint=taken.digest,
        dither=dither,
        created=now(),
    )


def release(checkpoint: Path, key: ReleaseKey, folder: Path, *, progress: Progress, jobs: int = JOBS) -> Release:
    """Write the copy of ``checkpoint`` that carries the key's shuffle and dither, as a new folder.

    Raises
    ------
    InputError
        If the key was made for another model, the checkpoint cannot be released, or ``folder`` exists.
    """
    require_releasable(open_checkpoint(checkpoint))
    taken = fingerprint_checkpoint(checkpoint, progress=progress, jobs=jobs)
    require_model(key, content_digest(taken.view()), str(checkpoint))
    return write_release(checkpoint, key, folder, progress=progress)
