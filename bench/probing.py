"""How much of the concurrency that an endpoint allows is kept busy, how fast, and in how much memory.

``python bench/probing.py [--questions 20000] [--places 64] [--milliseconds 500 200 50] [--rounds 1]`` runs an echo
server of our own in another process: it answers every chat completion after the same time, and refuses more than
``--places`` at once. It speaks plain HTTP, where the client opens a connection for each question, and HTTPS, where it
keeps them.
Another process asks it a battery and writes the transcript, as ``whorl probe`` does. The server counts how long its
places were taken.

``--tokenizers FOLDER`` instead measures how far the plan's estimate of tokens is off, on the tokenizers in a folder's
GGUF files.
"""

import argparse
import asyncio
import json
import random
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from measuring import measure
from reporting import machine, publish, table

_HEAD_END: Final = b"\r\n\r\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=20_000)
    parser.add_argument("--places", type=int, default=64)
    parser.add_argument("--milliseconds", type=int, nargs="+", default=[500, 200, 50])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--tokenizers", type=Path)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--certificate", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        asyncio.run(Echo(given.serve / 1000, given.places).serve(given.certificate))
    elif given.ask is not None:
        asyncio.run(ask(given.ask, given.questions, given.places))
    elif given.tokenizers is not None:
        estimate_tokens(given.tokenizers)
    else:
        facts = machine()
        with tempfile.TemporaryDirectory(prefix="whorl-bench-") as folder:
            made = certificate(Path(folder, "server.pem"))
            runs = [
                measured(milliseconds, given.questions, given.places, with_tls)
                for milliseconds in given.milliseconds
                for with_tls in (None, made)
                for _ in range(given.rounds)
            ]
        figures = {"questions": given.questions, "places": given.places, "runs": runs}
        publish("probing", figures, facts, section(figures))


def certificate(path: Path) -> Path:
    """A key and a certificate for 127.0.0.1, signed by itself."""
    request = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*request, *names, "-keyout", path, "-out", path.with_suffix(".crt")], check=True, capture_output=True
    )
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


def measured(milliseconds: int, questions: int, places: int, with_tls: Path | None) -> dict[str, Any]:
    """One run against a server of its own; with TLS where there is a certificate."""
    script = [sys.executable, __file__, "--places", str(places)]
    serve = [*script, "--serve", str(milliseconds), *([] if with_tls is None else ["--certificate", with_tls])]
    server = subprocess.Popen(serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        trusted = [] if with_tls is None else ["env", f"SSL_CERT_FILE={with_tls.with_suffix('.crt')}"]
        client = measure([*trusted, *script, "--ask", url, "--questions", str(questions)])
        told, _ = server.communicate(input="\n", timeout=30)
    finally:
        server.kill()
        server.wait()
    run = {
        "milliseconds": milliseconds,
        "protocol": "HTTP" if with_tls is None else "HTTPS",
        **json.loads(told),
        "client_cpu_seconds": round(client.cpu_seconds, 2),
        "client_peak_megabytes": round(client.peak_megabytes),
        **json.loads(client.output),
    }
    print(json.dumps(run), file=sys.stderr)
    return run


class Echo:
    """A chat server that answers after a fixed time and counts how long its places are taken.

    Written on asyncio's protocols, so that it takes as little as it can of the machine that it shares with the client.
    """

    def __init__(self, seconds: float, places: int) -> None:
        self.seconds = seconds
        self.places = places
        self.taken = 0
        self.most_taken = 0
        self.answered = 0
        self.refused = 0
        self.place_seconds = 0.0
        self.first = 0.0
        self.last = 0.0

    async def serve(self, certificate: Path | None) -> None:
        """Serve until a line comes on standard input, then tell what was counted."""
        loop, tls = asyncio.get_running_loop(), None
        if certificate is not None:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(certificate)
        server = await loop.create_server(lambda: _Connection(self, loop), "127.0.0.1", 0, backlog=1024, ssl=tls)
        print(f"{'http' if tls is None else 'https'}://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await loop.run_in_executor(None, sys.stdin.readline)
        server.close()
        seconds = self.last - self.first
        told = {
            "seconds": round(seconds, 2),
            "answered": self.answered,
            "refused": self.refused,
            "most_at_once": self.most_taken,
            "requests_per_second": round(self.answered / seconds, 1),
            "busy": round(self.place_seconds / (self.places * seconds), 4),
        }
        print(json.dumps(told), flush=True)


class _Connection(asyncio.Protocol):
    def __init__(self, echo: Echo, loop: asyncio.AbstractEventLoop) -> None:
        self._echo = echo
        self._loop = loop
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(_HEAD_END)
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
        if not found or len(rest) < length:
            return
        self._buffer = rest[length:]
        echo, now = self._echo, time.perf_counter()
        echo.first = echo.first or now
        if echo.taken == echo.places:
            echo.refused += 1
            self._write(429, {"error": {"message": "full"}})
            return
        echo.taken += 1
        echo.most_taken = max(echo.most_taken, echo.taken)
        self._loop.call_later(echo.seconds, self._answer, json.loads(rest[:length]), now)

    def _answer(self, asked: dict[str, Any], since: float) -> None:
        echo, text = self._echo, asked["messages"][-1]["content"]
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        counts = {"prompt_tokens": len(text) // 4, "completion_tokens": len(text) // 4}
        self._write(200, {"id": "chatcmpl-1", "model": asked["model"], "choices": [choice], "usage": counts})
        echo.taken -= 1
        echo.answered += 1
        echo.last = time.perf_counter()
        echo.place_seconds += echo.last - since

    def _write(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        head = f"HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self._transport.write(head.encode() + _HEAD_END + body)


async def ask(url: str, questions: int, places: int) -> None:
    """Ask a battery of that many questions, and print what the transcript holds."""
    from whorl import __version__
    from whorl.endpoints.limits import Limits
    from whorl.endpoints.opening import open_endpoint
    from whorl.probes.budget import Budget, Budgeted
    from whorl.probes.running import run
    from whorl.probes.transcript import Header
    from whorl.probes.transcript_file import start_transcript

    limits = Limits(connections=places)
    opened = await open_endpoint(url, model="northwind-7b", limits=limits, rng=random.Random(0))
    endpoint = Budgeted(opened, Budget(requests=2 * questions), extra_tries=1)
    with tempfile.TemporaryDirectory(prefix="whorl-bench-") as folder:
        path = Path(folder, "a.transcript")
        header = Header(
            whorl_version=__version__,
            endpoint=endpoint.name,
            battery=_battery(questions),
            capabilities=None,
            started="2026-11-26T12:00:00Z",
        )
        with start_transcript(path, header) as transcript:
            done = await run(endpoint, transcript, concurrency=places, order_seed=0)
        await endpoint.close()
        assert done.seal.answered == questions, done
        print(json.dumps({"transcript_megabytes": round(path.stat().st_size / 1e6, 1)}))


def _battery(questions: int) -> Any:
    """As many questions of about 200 characters."""
    from whorl.endpoints.exchange import Message
    from whorl.probes.battery import Battery, Item

    def item(number: int) -> Item:
        text = f"Question {number}. " + "Which of these rivers is the longest? " * 5
        return Item(
            id=f"style/{number:06}",
            family="style",
            stratum="rivers",
            wrapper="bare",
            messages=(Message(role="user", text=text),),
            max_tokens=64,
            temperature=0.0,
            draws=1,
            scorer="style/1",
            key={},
        )

    return Battery(name="bench", seed=0, items=tuple(item(number) for number in range(questions)))


def section(figures: dict[str, Any]) -> str:
    """The figures as text for people."""
    rows = [
        [
            f"{run['milliseconds']} ms, {run['protocol']}",
            f"{run['seconds']:.1f}",
            f"{run['requests_per_second']:.0f}",
            f"{1000 * figures['places'] / run['milliseconds']:.0f}",
            f"{run['busy']:.1%}",
            f"{run['client_cpu_seconds']:.1f}",
            f"{run['client_peak_megabytes']}",
        ]
        for run in figures["runs"]
    ]
    header = ["answer after", "wall s", "requests/s", "at most", "places kept busy", "client CPU s", "client peak MB"]
    sizes = statistics.median(run["transcript_megabytes"] for run in figures["runs"])
    return "\n".join(
        [
            table(header, rows),
            "",
            f"{figures['questions']:,} questions, {figures['places']} at once; transcripts of {sizes} MB; "
            f"{sum(run['refused'] for run in figures['runs'])} refused for coming too early.",
        ]
    )


def estimate_tokens(folder: Path) -> None:
    """Print how far the plan's estimate of a battery's tokens is off, by tokenizer."""
    from gguf import GGUFReader
    from tokenizers import Tokenizer, models, pre_tokenizers

    from whorl.probes.families import battery
    from whorl.probes.planning import BYTES_PER_TOKEN

    items = battery("standard", 0).items
    texts = [(item, "".join(message.text for message in item.messages)) for item in items]
    for path in sorted(folder.glob("*.gguf")):
        fields = GGUFReader(path).fields
        if fields["tokenizer.ggml.model"].contents() != "gpt2" or "tokenizer.ggml.merges" not in fields:
            print(f"{path.name}: left out, not byte-level BPE")
            continue
        tokens = {
            token: place for place, token in reversed(list(enumerate(fields["tokenizer.ggml.tokens"].contents())))
        }
        merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
        known = [merge for merge in merges if {*merge, "".join(merge)} <= tokens.keys()]
        tokenizer = Tokenizer(models.BPE(vocab=tokens, merges=known))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        counted: dict[str, list[int]] = {}
        for item, text in texts:
            for name in ("all", item.family):
                sums = counted.setdefault(name, [0, 0])
                sums[0] += item.draws * len(tokenizer.encode(text).ids)
                sums[1] += item.draws * len(text.encode())
        shares = {name: size / BYTES_PER_TOKEN / count for name, (count, size) in counted.items()}
        parts = {name: share for name, share in shares.items() if name != "all"}
        print(
            f"{path.name}: estimate is {shares['all']:.2f} of the tokens; by family {min(parts.values()):.2f} to "
            f"{max(parts.values()):.2f}"
        )


if __name__ == "__main__":
    main()
