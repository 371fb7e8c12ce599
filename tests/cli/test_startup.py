"""The command line answers at once: nothing heavy is imported before a command runs."""

import subprocess
import sys

HEAVY = ("numpy", "scipy", "pydantic", "rich", "jinja2", "gguf", "sqlite3", "torch", "transformers")
LIMIT_SECONDS = 0.3


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_importing_the_command_line_imports_nothing_heavy() -> None:
    code = f"import sys, whorl.cli.main; print([name for name in {HEAVY} if name in sys.modules])"
    assert python(code).strip() == "[]"


def test_help_imports_nothing_heavy_and_answers_within_the_limit() -> None:
    code = (
        "import sys, time; sys.argv = ['whorl', '--help']\n"
        "import whorl.cli.main\n"
        "try: whorl.cli.main.main()\n"
        f"finally: print([name for name in {HEAVY} if name in sys.modules], time.process_time())"
    )
    # Processor time, and the least of three: other work on the machine must not fail this test.
    printed = min((python(code) for _ in range(3)), key=lambda text: float(text.split()[-1]))
    assert "compare" in printed
    assert "\n[] " in printed
    assert float(printed.split()[-1]) < LIMIT_SECONDS
