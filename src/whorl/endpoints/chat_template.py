"""A checkpoint's chat template, which is a program by a stranger: rendered in a process of its own, within limits.

transformers runs templates in Jinja's sandbox, which keeps them from the machine and not from looping for ever or from
filling the memory. Nor does a limit on steps: one doubling of a text forty times is enough. So the system's own limits
are what holds (`whorl.endpoints.template_worker`).
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from whorl.endpoints.exchange import EndpointError

LONGEST_TEMPLATE: Final = 256 * 1024
"""Characters; the longest of public models have some 20,000."""
LONGEST_PROMPT: Final = 4 * 2**20
SECONDS: Final = 5
"""Of processor time for one conversation, which takes some milliseconds."""
MEMORY_BYTES: Final = 512 * 2**20
_START_SECONDS: Final = 120
_PATIENCE: Final = 4  # seconds on the clock for one of processor time, where the machine is busy
_LONGEST_ANSWER: Final = 12 * LONGEST_PROMPT + 1024
_WORKER: Final = Path(__file__).with_name("template_worker.py")
_INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
"""Of the environment, in which keys may stand."""


class ChatTemplate:
    """Renders conversations. One at a time; `close` ends the process, which the first conversation starts.

    Parameters
    ----------
    template : Jinja, as transformers understands it
    special_tokens : what the tokenizer passes to it
    """

    def __init__(self, template: str, special_tokens: Mapping[str, Any], *, seconds: int = SECONDS) -> None:
        self._setup = {
            "template": template,
            "special_tokens": dict(special_tokens),
            "room": MEMORY_BYTES,
            "seconds": seconds,
            "longest": LONGEST_PROMPT,
        }
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._given_up: str | None = None

    def render(self, turns: Sequence[Mapping[str, str]]) -> str:
        """The text that a model is given for a conversation.

        Raises
        ------
        EndpointError
            ``rejected`` if the template refuses the conversation or fails on it; ``broken`` if it takes more time or
            memory than it may, now or before: it is not tried again.
        """
        if self._given_up is not None:
            raise EndpointError("broken", self._given_up)
        if self._process is None:
            self._process = self._started()
        answer = self._exchange(self._process, turns, self._seconds * _PATIENCE)
        if "prompt" in answer:
            return str(answer["prompt"])
        if "problem" in answer:
            raise EndpointError("rejected", f"the chat template does not take this conversation: {answer['problem']}")
        self.close()
        self._given_up = (
            f"expected a chat template that takes at most {self._seconds} s of processor time, {MEMORY_BYTES >> 20} "
            f"MiB and {LONGEST_PROMPT:,} characters for a conversation, found one that takes more "
            f"({answer.get('exceeded', 'stopped')}); it is not run again. Get the folder from where it was made"
        )
        raise EndpointError("broken", self._given_up)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # an interruption is for us
            env={name: os.environ[name] for name in _INHERITED if name in os.environ} | {"HF_HUB_OFFLINE": "1"},
        )
        answer = self._exchange(process, self._setup, _START_SECONDS)
        if "ready" not in answer:
            process.kill()
            process.communicate()
            found = answer.get("missing", "it ended at once")
            raise EndpointError("broken", f"the process for the chat template does not start: {found}")
        return process

    def _exchange(self, process: subprocess.Popen[bytes], request: object, seconds: float) -> dict[str, Any]:
        """One line there and one back; empty where the process ended, was too slow, or said too much."""
        assert process.stdin is not None
        assert process.stdout is not None
        stopping = threading.Timer(seconds, process.kill)
        stopping.daemon = True
        stopping.start()
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline(_LONGEST_ANSWER + 1)
        except BrokenPipeError:
            line = b""
        finally:
            stopping.cancel()
        answer = json.loads(line) if line.endswith(b"\n") else {}
        return answer if isinstance(answer, dict) else {}
