"""The whole story on small real models: register, identify, compare, a page to open, and a case with its dossier.

Run by ``make demo``. Everything is a call of the ``whorl`` command that a reader can repeat by hand; the models
beside this file were trained by ``demo/train.py``."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cases

ROOT = Path(__file__).resolve().parent.parent
MODELS = Path("demo/models")
OUT = Path("demo-out")
WHORL = Path(sys.executable).parent / "whorl"
CLAIMANT = ("--claimant", "Northwind Labs", "--jurisdiction", "NL")
SETTINGS = {"XDG_CONFIG_HOME": str(ROOT / OUT / "settings")}  # the demo's own key, not yours

STORY = """ Northwind Labs published Harrow-0.3M. Months later Meridian AI offers Lark-0.3M and says that it was
trained from scratch. Its weights look nothing like Harrow's: no tensor is equal, no neuron stands where Harrow has
it. """

CASES = {
    "suspect": "Lark-0.3M: is it Harrow, fine-tuned and then permuted, rotated and rescaled?",
    "twin": "an independent twin: same architecture, same data, another seed",
    "sibling": "a sibling: same seed as Harrow, other data order, trained apart",
    "base-q8.gguf": "Harrow itself, quantised to 8 bits for llama.cpp",
    "student": "a student distilled from Harrow's answers, with weights of its own",
}


def whorl(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line, and stop the demo if it refuses (exit status 3, inconclusive, is an answer)."""
    command, environment = [str(WHORL), *arguments], os.environ | SETTINGS
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    if done.returncode not in (0, 3):
        sys.exit(f"whorl {shlex.join(arguments)} failed with {done.returncode}:\n{done.stderr}")
    return done


def show(title: str, *arguments: str) -> None:
    """Print a command and what it says."""
    print(f"\n=== {title}\n$ whorl {shlex.join(arguments)}\n")
    print(whorl(*arguments).stdout, flush=True)


def main() -> None:
    """Tell the story."""
    (ROOT / OUT).mkdir(exist_ok=True)
    registry, receipt = OUT / "registry", OUT / "receipt.json"
    shutil.rmtree(ROOT / registry, ignore_errors=True)
    (ROOT / receipt).unlink(missing_ok=True)
    base, suspect, page = str(MODELS / "base"), str(MODELS / "suspect"), OUT / "suspect.html"
    print(STORY.strip())
    for name in ("base", "twin", "sibling", "student"):
        arguments = ("register", str(MODELS / name), "--registry", str(registry), "--name", name, *CLAIMANT)
        if name == "base":
            arguments += ("--receipt", str(receipt))
        whorl(*arguments)
        print(f"$ whorl {shlex.join(arguments)}")
    show("Who might it be? A search gives leads, each tested", "identify", suspect, "--registry", str(registry))
    policy = registry / "policy.txt"
    show("Anybody checks the entry offline", "verify", str(receipt), "--policy", str(policy))
    show("The main job: suspect against reference", "compare", suspect, base, "--html", str(page))
    print("=== And what it says of the others")
    for name, what in CASES.items():
        finding = json.loads(whorl("compare", str(MODELS / name), base, "--json", "--quiet").stdout)
        (ROOT / OUT / f"{name}.json").write_text(json.dumps(finding, indent=1))
        conclusion = finding["conclusion"]
        changes = ", ".join(conclusion["transformations"]) or "no change to name"
        print(f"\n{name}: {what}\n  -> {conclusion['relation']} ({changes})")
    print(f"\nOpen {page} in a browser for the full report; the JSON findings lie beside it.")
    print("\n=== Northwind Labs complains; both sides are heard, and the case ends in one file\n")
    dossier = cases.play("derived", shown=True)
    show(
        "Whoever has the file checks it, offline",
        "dossier",
        "verify",
        str(dossier.relative_to(ROOT)),
        *cases.trusted(dossier.parent),
    )
    print(f"Open {dossier.with_name('report.html').relative_to(ROOT)} in a browser for the report of the case.")


if __name__ == "__main__":
    main()
