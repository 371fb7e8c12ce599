"""Run one command and print what it took, as one JSON line: ``python bench/watch.py COMMAND ...``.

A program of its own because the kernel counts the starter's memory into the peak of what it starts; this one is small.
"""

import json
import os
import subprocess
import sys
import time


def main() -> None:
    began = time.perf_counter()
    with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    facts = {
        "status": process.returncode,
        "wall_seconds": wall,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_megabytes": usage.ru_maxrss * 1024 / 1e6,
        "output": output,
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
