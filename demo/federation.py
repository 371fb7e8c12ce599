"""Three bureaus on one machine, separate processes and keys: a registration, a search across borders, a notice, a
dispute, an annulment seen everywhere, and a bureau that is caught twice.

Run by ``make demo-federation``. Everything but the dishonest bureau is a call of the ``whorl`` command."""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "demo/models"
OUT = ROOT / "demo-out/federation"
WHORL = Path(sys.executable).parent / "whorl"
BUREAUS = {"north": "NL", "south": "BR", "east": "KE"}
REPLY_SECONDS = 30
START_SECONDS = 60

STORY = """
Northwind Labs registers Harrow at the bureau of the north. Meridian AI registers Lark at the bureau of the south.
Somebody in the east searches. Two examiners find that Lark derives from Harrow, Northwind files a notice, Meridian
disputes it, and the chamber annuls it. Then the bureau of the south begins to cheat."""


@dataclass
class Bureau:
    """One bureau: its folder, its address, and the process that serves it."""

    name: str
    url: str
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def folder(self) -> Path:
        return OUT / self.name

    @property
    def origin(self) -> str:
        return f"{self.name}.example/log"

    def start(self, *prelude: str) -> None:
        """Serve it; ``prelude`` is Python that runs first, in the process of a dishonest operator."""
        port = self.url.rsplit(":", 1)[1]
        arguments = ["serve", "--registry", str(self.folder), "--port", port]
        code = "\n".join([*prelude, "from whorl.cli.main import main", "main()"])
        log = (OUT / f"{self.name}.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdout=log, stderr=log, env=_environment()
        )
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > end or self.process.poll() is not None:
                sys.exit(f"the bureau {self.name} did not start; see {OUT / self.name}.log")
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop it as an operator would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=60)
            self.process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/log/checkpoint", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def whorl(*arguments: object, status: Sequence[int] = (0,)) -> str:
    """Run the command line; stop the demo unless it ends with one of the statuses. Gives what it printed."""
    command = [str(WHORL), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    if done.returncode not in status:
        sys.exit(f"{shlex.join(command)}\nended with {done.returncode}, expected {status}:\n{done.stdout}{done.stderr}")
    return done.stdout + (done.stderr if done.returncode else "")


def say(title: str) -> None:
    print(f"\n=== {title}", flush=True)


def entered(*arguments: object) -> str:
    """Enter something; gives the id of its entry."""
    return str(json.loads(whorl(*arguments, "--json"))["entry"])


def key(name: str) -> Path:
    """The private key of somebody, drawn at first use."""
    path = OUT / "keys" / f"{name}.json"
    if not path.exists():
        whorl("registry", "new-key", path)
    return path


def states(bureaus: Sequence[Bureau], notice: str) -> list[str]:
    """What each bureau says of a notice, in its own mirror."""
    return [json.loads(whorl("notice", "show", notice, "--registry", one.url, "--json"))["state"] for one in bureaus]


def main() -> None:
    """Tell the story."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    print(STORY.strip())
    bureaus = [Bureau(name, f"http://127.0.0.1:{port}") for name, port in zip(BUREAUS, _free_ports(3), strict=True)]
    try:
        _federate(bureaus)
        harrow, lark = _register(bureaus)
        notice = _accuse(bureaus, harrow, lark)
        _annul(bureaus, notice)
        _drop_a_withdrawal(bureaus)
        _split_view(bureaus)
    finally:
        for one in bureaus:
            one.stop()
    print(f"\nAll of it is in {OUT.relative_to(ROOT)}: one folder for each bureau, and the proof.")


def _federate(bureaus: Sequence[Bureau]) -> None:
    say("Three bureaus with keys of their own exchange cards")
    for one in bureaus:
        country = BUREAUS[one.name]
        whorl(
            "registry",
            "create",
            one.folder,
            "--origin",
            one.origin,
            "--name",
            f"Bureau {one.name}",
            "--jurisdiction",
            country,
        )
        whorl("bureau", "card", "--url", one.url, "-o", OUT / f"{one.name}.card", "--registry", one.folder)
    chamber = [json.loads(whorl("registry", "key", "--key", key(f"judge{n}"), "--json"))["id"] for n in (1, 2, 3)]
    for one in bureaus:
        others = [OUT / f"{other.name}.card" for other in bureaus if other is not one]
        whorl("bureau", "add", *others, "--quorum", 2, "--registry", one.folder)
        members = [part for member in chamber for part in ("--chamber", member)]
        rules = ("--threshold", 2, "--reply-seconds", REPLY_SECONDS, "--registry", one.folder)
        whorl("bureau", "rules", *members, *rules)
    for one in bureaus:
        one.start()
        print(f"{one.name:>6}: {one.origin}, {BUREAUS[one.name]}, {one.url}")


def _register(bureaus: Sequence[Bureau]) -> tuple[str, str]:
    north, south, east = bureaus
    say("Two makers register, each at home; the others hold the entries before the receipt is out")
    harrow = _model(north, "base", "Harrow-0.3M", "Northwind Labs", "NL")
    lark = _model(south, "suspect", "Lark-0.3M", "Meridian AI", "BR")
    print(f"Harrow {harrow[:12]}... at north, Lark {lark[:12]}... at south")
    receipt = OUT / "harrow-receipt.json"
    whorl("registry", "receipt", harrow, "--registry", north.url, "-o", receipt)
    print(whorl("verify", receipt, "--policy", north.folder / "policy.txt"))
    say("A search in the east, in its own mirror, finds what was registered in the north")
    print(whorl("identify", MODELS / "suspect", "--registry", east.url, "--top", 2, "--quiet"))
    return harrow, lark


def _model(bureau: Bureau, model: str, name: str, claimant: str, country: str) -> str:
    claim = ("--name", name, "--claimant", claimant, "--jurisdiction", country)
    return entered(
        "register", MODELS / model, *claim, "--registry", bureau.url, "--key", key(claimant.split()[0]), "--quiet"
    )


def _accuse(bureaus: Sequence[Bureau], harrow: str, lark: str) -> str:
    north, south, east = bureaus
    say("Two examiners enter their findings, Northwind files a notice, a bureau of neither side reviews it")
    finding = OUT / "finding.json"
    finding.write_text(whorl("compare", MODELS / "suspect", MODELS / "base", "--json", "--quiet"))
    findings = []
    for bureau, examiner in ((north, "Dune Examiners"), (east, "Tern Examiners")):
        organisation = _introduce(bureau, examiner)
        checked = ("--reason", "We know them.", "--registry", bureau.url, "--key", bureau.folder / "keys/bureau.json")
        whorl("notice", "vote", organisation, "verified", *checked)
        about = ("--questioned", lark, "--registry", bureau.url, "--key", key(examiner.split()[0]))
        findings.append(entered("notice", "finding", finding, *about))
    root = ("--registry", east.url, "--key", east.folder / "keys/bureau.json")
    whorl("registry", "add-key", key("Reed"), "--role", "reviewer", *root)
    ratio = json.loads(finding.read_text())["conclusion"]["log10_lr"]
    evidence = ("--log10-lr", ratio, "--least-favourable", ratio, "--false-positive-bound", 0.01, "--tests-run", 6)
    notice = entered(
        *("notice", "file", lark, "--colour", "red", "--reference", harrow, *evidence),
        *("--title", "Lark derives from Harrow", "--text", "Two examiners found trained weights of Harrow in Lark."),
        *[part for one in findings for part in ("--finding", one)],
        *("--registry", north.url, "--key", key("Northwind")),
    )
    print(f"filed:     {states(bureaus, notice)}")
    whorl("notice", "vote", notice, "reviewed", "--reason", "In order.", "--registry", east.url, "--key", key("Reed"))
    print(f"reviewed:  {states(bureaus, notice)}")
    time.sleep(REPLY_SECONDS + 1)
    print(f"time to reply is over: {states(bureaus, notice)}")
    whorl(
        "notice",
        "dispute",
        notice,
        "--grounds",
        "We were never asked.",
        "--registry",
        south.url,
        "--key",
        key("Meridian"),
    )
    print(f"disputed:  {states(bureaus, notice)}")
    return notice


def _annul(bureaus: Sequence[Bureau], notice: str) -> None:
    north, _, east = bureaus
    say("Two of the three keys of the chamber annul it; every bureau has it before the ruling is acknowledged")
    for number in (1, 2, 3):
        _introduce(east, f"Judge {number}", f"judge{number}")
    ruling = ("--reason", "The accused was not asked.", "--cosigner", key("judge2"))
    whorl("notice", "vote", notice, "annulled", *ruling, "--registry", east.url, "--key", key("judge1"))
    print(f"annulled:  {states(bureaus, notice)}")
    receipt = OUT / "notice-receipt.json"
    _model(north, "twin", "Harrow-twin", "Northwind Labs", "NL")  # the next batch of the north states the annulment
    whorl("registry", "receipt", notice, "--registry", north.url, "-o", receipt)
    print(whorl("verify", receipt, "--policy", north.folder / "policy.txt", status=(1,)))


def _drop_a_withdrawal(bureaus: Sequence[Bureau]) -> None:
    north, south, east = bureaus
    say("The south withdraws an entry and leaves that out of its status map: nobody cosigns")
    lark = _model(south, "student", "Lark-mini", "Meridian AI", "BR")
    south.stop()
    south.start(
        "import whorl.registry.sequencer as sequencer",
        "sequencer.spoken_against = lambda *given, **named: {}",
    )
    whorl(
        "notice", "vote", lark, "withdrawn", "--reason", "Withdrawn.", "--registry", south.url, "--key", key("Meridian")
    )
    receipt = OUT / "withdrawn-receipt.json"
    whorl("registry", "receipt", lark, "--registry", south.url, "-o", receipt)
    print("its receipt:", whorl("verify", receipt, "--policy", south.folder / "policy.txt", status=(1, 3)).strip())
    for one in (north, east):
        alarms = [line for line in (OUT / f"{one.name}.log").read_text().splitlines() if "was caught" in line]
        print(f"{one.name}: {alarms[-1] if alarms else 'no alarm'}")
        if not alarms:
            sys.exit(f"the bureau {one.name} did not notice")


def _split_view(bureaus: Sequence[Bureau]) -> None:
    north, south, east = bureaus
    say("The south goes back to an older state and shows another past: the others keep the proof")
    south.stop()
    older = OUT / "south-older"
    shutil.copytree(south.folder, older)
    south.start()
    _model(south, "sibling", "Lark-sibling", "Meridian AI", "BR")
    south.stop()
    shutil.rmtree(south.folder)
    older.rename(south.folder)
    (south.folder / "signed" / "tree-head").unlink()
    shutil.copy(south.folder / "log" / "checkpoint", south.folder / "signed" / "tree-head")
    port = south.url.rsplit(":", 1)[1]
    print("an honest program refuses:", whorl("serve", "--registry", south.folder, "--port", port, status=(1,)).strip())
    south.start(
        "from whorl.registry.cosigning import Cosigned, Cosigning",
        "Cosigning.require_nothing_newer = lambda self, folder: frozenset(one.name for one in self._cosigners)",
        "Cosigning.gather = lambda self, note, folder: Cosigned(note=note, failures=())",
    )
    (OUT / "keys" / "Meridian.json.chain").unlink(missing_ok=True)
    _model(south, "base", "Lark-other", "Meridian AI", "BR")
    time.sleep(1)
    for one in (north, east):
        one.stop()
        print(f"{one.name}:", whorl("bureau", "sync", "--registry", one.folder, status=(1,)).strip().splitlines()[-1])
        proofs = sorted(one.folder.glob("*/fork-*.proof"))
        if proofs:
            print(whorl("log", "check-fork", proofs[0], "--policy", south.folder / "policy.txt"))


def _introduce(bureau: Bureau, name: str, owner: str | None = None) -> str:
    """Register an organisation; gives the id of its entry."""
    place = ("--registry", bureau.url, "--key", key(owner or name.split()[0]))
    return entered("registry", "introduce", "--claimant", name, "--jurisdiction", "ZZ", *place)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WHORL_")}
    return kept | {"XDG_CONFIG_HOME": str(OUT / "settings")}


if __name__ == "__main__":
    main()
