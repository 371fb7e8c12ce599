"""A protocol committed to in a registry: from ``whorl case freeze --commit`` to step 10 of the dossier."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from test_case_command import Desk, line_up, opening
from typer.testing import CliRunner

from whorl.cases.case import Case
from whorl.cli.dossier import dossier
from whorl.dossiers.protocol_commitment import protocol_root
from whorl.entries.receipt import parse_receipt, verify_receipt
from whorl.log.policy import parse_policy
from whorl.registry.local import system_clock


def verified(file: Path, *arguments: object) -> dict[str, Any]:
    done = CliRunner().invoke(dossier, ["verify", str(file), "--json", *map(str, arguments)])
    assert done.exit_code == 0, done.stderr
    steps: dict[str, Any] = {step["name"]: step for step in json.loads(done.stdout)["steps"]}
    return steps["receipts"]


def test_a_protocol_that_a_registry_saw_before_it_was_fixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHORL_POLICY", raising=False)
    desk, registry = Desk(tmp_path), tmp_path / "registry"
    desk.do("new", "--opening", opening(desk), by="manager")
    desk.do("propose", "--propositions", desk.file("both", desk.template("propositions")), by="manager")
    files = ("--protocol", desk.file("protocol", desk.template("protocol")), "--line-up", line_up(desk))
    done = desk.do("freeze", *files, "--commit", registry, "--claimant", "The bureau", "--quiet", by="manager")
    assert done["stage"] == "frozen"

    state = Case(desk.case, now=system_clock, random_bytes=bytes).read().state
    assert state.protocol is not None
    out = tmp_path / "x.dossier"
    build = ["build", str(desk.case), "-o", str(out), "--key", str(tmp_path / "manager.json")]
    assert CliRunner().invoke(dossier, build).exit_code == 0
    without = verified(out)
    assert (without["outcome"], "no policy was given" in without["detail"]) == ("not_checked", True)
    step = verified(out, "--policy", registry / "policy.txt")
    assert "what was committed to is the protocol of this case" in step["detail"]
    assert "commitment of 'The bureau'" in step["detail"]
    # A registry of this machine alone has no witness: that it holds is said, and that nobody attests when.
    assert (step["outcome"], "nobody whom you trust attests a time" in step["detail"]) == ("not_checked", True)

    with zipfile.ZipFile(out) as bag:
        data = bag.read("dossier/data/registry/protocol.receipt.json")
    found = verify_receipt(parse_receipt(data, origin="test"), parse_policy((registry / "policy.txt").read_bytes()))
    assert found.statement.body.root == protocol_root(state.protocol)  # type: ignore[union-attr]


def test_a_registry_that_refuses_leaves_the_case_as_it_was(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.do("new", "--opening", opening(desk), by="manager")
    desk.do("propose", "--propositions", desk.file("both", desk.template("propositions")), by="manager")
    files = ("--protocol", desk.file("protocol", desk.template("protocol")), "--line-up", line_up(desk))
    (tmp_path / "none").write_text("no registry")
    desk.do("freeze", *files, "--commit", tmp_path / "none", "--quiet", by="manager", status=2)
    assert not (desk.case / "line-up.json").exists()
    assert desk.do("freeze", *files, "--quiet", by="manager")["stage"] == "frozen"
