"""Run llama.cpp's server until standard input closes: ``python llama_cpp_server.py GGUF NAME PORT SLOTS CONTEXT``.

A program of its own, because a server in a thread of the test cannot be killed.
"""

import os
import sys

import xllamacpp


def main(gguf: str, name: str, port: str, slots: str, context: str) -> None:
    """Serve, with an API key if the environment has ``LLAMA_API_KEY``."""
    settings = xllamacpp.CommonParams()
    settings.model.path = gguf
    settings.model_alias = {name}
    settings.hostnames = ["127.0.0.1"]
    settings.port = int(port)
    settings.n_parallel = int(slots)
    settings.n_ctx = int(slots) * int(context)  # llama.cpp divides the window among the slots
    settings.kv_unified = False
    settings.cpuparams.n_threads = 1
    settings.cpuparams_batch.n_threads = 1
    settings.fit_params = False
    settings.warmup = False
    settings.ui = False
    if key := os.environ.get("LLAMA_API_KEY"):
        settings.api_keys = [key]
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)  # the server's threads would keep the process alive


if __name__ == "__main__":
    main(*sys.argv[1:])
