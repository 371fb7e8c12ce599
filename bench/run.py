"""Run every benchmark: ``make bench``. Each can be run alone, with its options; see its first lines.

The 7B part needs 18 GB of free disk in the temporary folder; without them it is left out, and says so.
"""

import subprocess
import sys
from pathlib import Path

PARTS = ("peers", "search", "streaming", "probing")


def main() -> None:
    failed = []
    for part in PARTS:
        print(f"\n=== {part}", flush=True)
        done = subprocess.run([sys.executable, Path(__file__).with_name(f"{part}.py")], check=False)
        failed += [part] if done.returncode else []
    if failed:
        raise SystemExit(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
