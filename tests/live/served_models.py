"""Small models behind real HTTP, served by programs that we did not write.

``build_random_model`` makes a checkpoint folder with a GGUF file in it; ``serve_llama_cpp`` puts the file behind
llama.cpp's own server (OpenAI and Anthropic routes), ``serve_transformers`` the folder behind ``transformers serve``.
Each server is a process of its own, so that a test can kill it, and dies with the test run.
"""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

LLAMA_CPP = Path(__file__).with_name("llama_cpp_server.py")
TRANSFORMERS_NEEDS = ("fastapi", "uvicorn", "accelerate")
TEXTS = (
    "Which city is the capital of the island? Answer with one letter.",
    "I cannot help with that. Ask me about colours, animals or numbers.",
    "Repeat the words: amber, bronze, copper, delta, ember.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server that answers: where it is, what to ask for, and its process."""

    base_url: str  # without /v1
    model: str
    process: subprocess.Popen[bytes]

    @property
    def v1(self) -> str:
        """What OpenAI-compatible clients call the base URL."""
        return f"{self.base_url}/v1"

    def kill(self) -> None:
        """End the server at once, in the middle of whatever it does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def build_random_model(folder: Path, *, seed: int = 0, context: int = 512) -> Path:
    """Write a tiny untrained chat model (about 0.2 million parameters); returns the folder, with ``model.gguf``."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from bench.chat_lab.chat_folder import train_tokenizer, write_folder

    tokenizer = train_tokenizer(list(TEXTS), 320)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.2,  # wide, so that greedy answers are far from ties
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    # Letters and the end of a turn only: a random model would else answer in bytes and marks that are no text.
    unreadable = [
        index for token, index in tokenizer.get_vocab().items() if not token.isascii() or index in (0, 2, 3, 4)
    ]
    with torch.no_grad():
        model.lm_head.weight[unreadable] = 0
    write_folder(folder, model, tokenizer)
    return folder


@contextmanager
def serve_llama_cpp(
    gguf: Path, *, port: int = 0, slots: int = 4, context: int = 512, api_key: str | None = None
) -> Iterator[Served]:
    """llama.cpp's server for one GGUF file, on 127.0.0.1; ``context`` is the window of each of the ``slots``.

    ``port`` 0 takes a free one; give the port of a killed server to put another in its place.
    """
    port = port or _free_port()
    name = gguf.parent.name
    command = [sys.executable, str(LLAMA_CPP), str(gguf), name, str(port), str(slots), str(context)]
    environment = {} if api_key is None else {"LLAMA_API_KEY": api_key}
    with _running(command, f"http://127.0.0.1:{port}", name, environment) as served:
        yield served


def transformers_serving_lacks() -> str | None:
    """Why ``transformers serve`` cannot run here; None if it can."""
    missing = [name for name in TRANSFORMERS_NEEDS if importlib.util.find_spec(name) is None]
    return f"transformers serve needs {', '.join(missing)}" if missing else None


@contextmanager
def serve_transformers(folder: Path, *, port: int = 0) -> Iterator[Served]:
    """``transformers serve`` for one checkpoint folder, on 127.0.0.1. Takes seconds to start.

    It answers only to the folder's name, ignores ``logprobs`` and samples at temperatures above 0.
    """
    if problem := transformers_serving_lacks():
        raise RuntimeError(problem)
    port = port or _free_port()
    program = str(Path(sys.executable).with_name("transformers"))
    command = [program, "serve", folder.name, "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    address, environment = f"http://127.0.0.1:{port}", {"HF_HUB_OFFLINE": "1"}
    with _running(command, address, folder.name, environment, wait=120, cwd=folder.resolve().parent) as served:
        yield served


@contextmanager
def _running(
    command: Sequence[str],
    base_url: str,
    model: str,
    environment: dict[str, str],
    *,
    wait: float = 60,
    cwd: Path | None = None,
) -> Iterator[Served]:
    with TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        )
        try:
            deadline = time.monotonic() + wait
            while not _healthy(base_url):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"{command[1]} does not answer: {log.read()[-2000:].decode(errors='replace')}")
                time.sleep(0.02)
            yield Served(base_url=base_url, model=model, process=process)
        finally:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


def _healthy(base_url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base_url}/health", timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
