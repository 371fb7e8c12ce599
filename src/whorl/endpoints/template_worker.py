"""The process in which a chat template runs: a program of its own, started by `whorl.endpoints.chat_template`.

The first line of standard input says what is rendered and within which limits; each further line is a conversation, and
has one line of answer. The system keeps the limits: a template can neither loop for ever nor fill the memory, and where
it tries, this process is what dies. Imports nothing of Whorl.
"""

import json
import math
import os
import resource
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Answer lines until there are no more."""
    lines = iter(sys.stdin.buffer)
    setup = json.loads(next(lines))
    try:
        from transformers.utils.chat_template_utils import render_jinja_template
    except ImportError as error:
        _answer({"missing": str(error)})
        return
    _limit_memory(int(setup["room"]))
    _answer({"ready": True})
    for line in lines:
        _limit_time(int(setup["seconds"]))
        try:
            rendered = render_jinja_template(
                conversations=[json.loads(line)],
                chat_template=setup["template"],
                add_generation_prompt=True,
                **setup["special_tokens"],
            )
            prompt = str(rendered[0][0])
            if len(prompt) > setup["longest"]:
                raise MemoryError
            answer = {"prompt": prompt}
        except MemoryError:
            answer = {"exceeded": "memory"}
        except Exception as error:  # a template is a program: it may fail in any way, or refuse a role on purpose
            answer = {"problem": " ".join(f"{type(error).__name__}: {str(error)[:1000]}".split())[:300]}
        _answer(answer)


def _answer(document: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(document).encode() + b"\n")
    sys.stdout.buffer.flush()


def _limit_memory(room: int) -> None:
    """So many bytes more than are in use now; no core file is written of what is stopped."""
    pages = Path("/proc/self/statm")
    used = int(pages.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") if pages.exists() else 8 * room
    for limit, value in ((resource.RLIMIT_AS, used + room), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _limit_time(seconds: int) -> None:
    """So many seconds of processor time more, then the system stops this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = math.ceil(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


if __name__ == "__main__":
    main()
