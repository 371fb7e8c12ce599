"""``python -m bench.chat_lab FOLDER [--reduced] [--controls N] [--battery NAME --seed N]``: train the laboratory.

Interrupt it at any time: members appear whole or not at all, and the next run goes on. With a battery, the controls'
answers to it are written beside them as a table that ``whorl population build`` reads.
"""

import argparse
import os
import time
from pathlib import Path

from transformers.utils import logging

from bench.chat_lab.controls import HEIGHT, control_rows, train_controls, write_table
from bench.chat_lab.lab import FULL, REDUCED, train_lab
from whorl.probes.families import BATTERIES, battery


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--reduced", action="store_true", help="the small models of the tests")
    parser.add_argument("--controls", type=int, default=0, metavar="STACKS", help=f"stacks of {HEIGHT} control models")
    parser.add_argument("--battery", choices=BATTERIES, help="ask the controls this")
    parser.add_argument("--seed", type=int, default=0, help="of the battery")
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    started = time.monotonic()

    def progress(line: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {line}", flush=True)

    lab = train_lab(arguments.folder, size=REDUCED if arguments.reduced else FULL, progress=progress)
    files = train_controls(lab, stacks=arguments.controls, progress=progress)
    if arguments.battery and files:
        asked = battery(arguments.battery, arguments.seed)
        write_table(
            lab.folder / f"controls-{asked.name}-{asked.seed}.parquet", control_rows(lab, files, asked, progress)
        )
    progress(f"done with {os.times().user:.0f} s of one core: {lab.folder}")


if __name__ == "__main__":
    main()
