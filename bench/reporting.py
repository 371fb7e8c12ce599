"""Write what was measured: JSON with the facts of the machine, and a section of docs/benchmarks.md."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def machine() -> dict[str, Any]:
    """What a reader must know to judge a time. The load says how busy the machine was with other work."""
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "processor": _first_value("/proc/cpuinfo", "model name"),
        "memory": _first_value("/proc/meminfo", "MemTotal"),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy", "whorl")},
    }


def publish(name: str, figures: Mapping[str, Any], facts: Mapping[str, Any], section: str) -> None:
    """Write ``results/NAME.json`` and the page's section of that name, and print the section."""
    command = " ".join(["python", f"bench/{name}.py", *(sys.argv[1:] if Path(sys.argv[0]).stem == name else ())])
    document = {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": dict(facts),
        "figures": dict(figures),
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    _replace_section(name, f"{section}\n\n{_origin(command, facts)}")
    print(section, flush=True)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns lined up for a terminal."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _origin(command: str, facts: Mapping[str, Any]) -> str:
    return (
        f"Measured by `{command}` on {facts['cores']} cores ({facts['processor']}, {facts['architecture']}), "
        f"{facts['memory']} of memory, load {facts['load_before']} before the start, Python {facts['python']}, "
        f"numpy {facts['numpy']}."
    )


def _replace_section(name: str, text: str) -> None:
    first, last = f"<!-- {name}: written by the benchmark -->", f"<!-- end of {name} -->"
    page = PAGE.read_text()
    before, _, rest = page.partition(first)
    _, _, after = rest.partition(last)
    if not rest or not after:
        raise SystemExit(f"{PAGE.name}: expected the marks {first} and {last}, found them missing")
    PAGE.write_text(f"{before}{first}\n\n{text}\n\n{last}{after}")


def _first_value(file: str, key: str) -> str:
    path = Path(file)
    for line in path.read_text().splitlines() if path.exists() else ():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return "unknown"
