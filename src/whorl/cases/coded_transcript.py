"""A transcript under a code: what was asked and answered, without the names by which an analyst would know the model.

Left out are addresses, headers, raw bodies and times, and every name that the endpoint gives itself; draws, texts,
token counts and log-probabilities stay. What a model says of itself in its answers stays too: it is what was answered.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from whorl.core.digest import digest_bytes
from whorl.core.errors import InputError
from whorl.dossiers.events import AskedAt, Recording
from whorl.endpoints.exchange import EndpointName, Reply
from whorl.probes.transcript import Answered, GivenUp, Transcript
from whorl.probes.transcript_file import start_transcript
from whorl.probes.transcript_reading import read_transcript

ADDRESS = "coded"


def read_recording(path: Path, endpoint: AskedAt) -> tuple[Transcript, Recording]:
    """A transcript as it was recorded, and how the chain names it.

    Raises
    ------
    InputError
        If it cannot be read, is not whole, or somebody else was asked.
    """
    if not path.is_file():
        raise InputError(f"{path}: expected the transcript that the line-up names, found none; ask the model first")
    transcript = read_transcript(path)
    asked = transcript.header.endpoint
    if (asked.address, asked.model) != (endpoint.address, endpoint.model):
        raise InputError(
            f"{path}: expected answers of the endpoint that the line-up names, found those of another; the code key "
            "is committed to, so ask the right one"
        )
    if transcript.seal is None:
        raise InputError(f"{path}: expected a run that came to an end, found one without a seal; go on with it first")
    return transcript, Recording(
        digest=digest_bytes(path.read_bytes()),
        battery=transcript.header.battery.digest,
        started=_instant(transcript.header.started, path),
    )


def coded_transcript(transcript: Transcript, code: str) -> tuple[bytes, str]:
    """The transcript under its code, byte for byte the same whenever it is made, and its digest."""
    header = transcript.header
    names = {header.endpoint.model: code}
    prints: dict[str, str] = {}
    coded = header.model_copy(
        update={
            "endpoint": EndpointName(kind="recorded", address=ADDRESS, model=code),
            "capabilities": None,
            "started": "",
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coded.jsonl"
        with start_transcript(path, coded) as file:
            for (item, draw), reply in sorted(transcript.answered.items()):
                served = reply.served_model
                named = None if served is None else names.setdefault(served, f"{code}, name {len(names) + 1}")
                printed = reply.system_fingerprint
                mark = None if printed is None else prints.setdefault(printed, f"print {len(prints) + 1}")
                file.add(Answered(item=item, draw=draw, reply=_coded(reply, named, mark)))
            for (item, draw), gone in sorted(transcript.given_up.items()):
                file.add(GivenUp(item=item, draw=draw, trouble=gone.trouble, detail=""))
            file.end("complete" if transcript.seal is None else transcript.seal.reason)
            digest = file.digest
        return path.read_bytes(), digest


@contextmanager
def readable(data: bytes, *, name: str) -> Iterator[Path]:
    """An exhibit as a file, for readers of files."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        yield path


def _coded(reply: Reply, served: str | None, mark: str | None) -> Reply:
    return reply.model_copy(
        update={
            "served_model": served,
            "system_fingerprint": mark,
            "headers": (),
            "request": "",
            "response": "",
            "started": "",
            "seconds": 0.0,
            "attempts": (),
        }
    )


def _instant(started: str, path: Path) -> str:
    try:
        at = datetime.fromisoformat(started)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise InputError(f"{path}: expected the time at which the recording began, found {started[:40]!a}")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
