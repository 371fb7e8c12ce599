"""``python -m bench.zoo FOLDER [--jobs N] [--on-gpu N] [FAMILY ...]``: train the zoo, or go on where it was left.

Needs about 1 GB of disk. Interrupt it at any time: members appear whole or not at all, and the next run goes on.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from bench.zoo.accelerator import choose_device
from bench.zoo.building import build


def main() -> None:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("families", nargs="*")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="members that are made side by side")
    parser.add_argument("--on-gpu", type=int, default=0, help="how many of them train on the GPU")
    arguments = parser.parse_intermixed_args()
    # Spawned, not forked: a forked child inherits torch's thread pool in an unusable state.
    context = get_context("spawn")
    left = context.Value("i", arguments.on_gpu)
    with ProcessPoolExecutor(
        arguments.jobs, mp_context=context, initializer=choose_device, initargs=(left,)
    ) as executor:
        build(arguments.folder, executor, lambda line: print(line, flush=True), arguments.families)


if __name__ == "__main__":
    main()
