"""``whorl alternatives documents``: ranges in, ratios out; a deposit counts only with a receipt that shows a time."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

sys.path.insert(0, str(Path(__file__).parents[1] / "entries"))  # small_log

from small_log import START, Issuer, SmallLog, counting_bytes, organisation

from whorl.cases.documents import DocumentsWeight
from whorl.dossiers.wording import wording_faults
from whorl.entries.keys import new_issuer_key
from whorl.entries.kinds import Commitment
from whorl.entries.sealed_item import SealedItem
from whorl.entries.sealed_list import open_members, seal, sealed_root

Run = Callable[..., Result]

DEMO = Path(__file__).parents[2] / "demo"
SUSPECT, COUSIN = DEMO / "models" / "suspect", DEMO / "case_models" / "cousin"
DEPOSITED_AT = "2026-09-21T14:13:21Z"  # START and a second: the second of three witnesses makes the quorum


def between(lower: float, upper: float) -> dict[str, float]:
    return {"lower": lower, "upper": upper}


def log_book(**changed: Any) -> dict[str, Any]:
    return {
        "code": "D-1",
        "kind": "training_log",
        "filed_by": "respondent",
        "says": "Meridian AI trained it from random weights.",
        "true_under": ["independent", "shared_data"],
        "kept": between(0.8, 0.8),
        "genuine_passes": between(0.95, 0.95),
        "attempted": between(0.5, 0.5),
        "forged_passes": between(0.1, 0.1),
        "grounds": "made up for the test",
    } | changed


def stated(**changed: Any) -> dict[str, Any]:
    return {
        "code": "D-9",
        "filed_by": "respondent",
        "reference_reachable_from": "2027-01-01T00:00:00Z",
        "early_access": between(0.0, 0.02),
        "failure": between(0.0001, 0.003),
        "grounds": "1,000 blind trials without a failure",
    } | changed


def exhibits(path: Path, *documents: dict[str, Any], deposit: dict[str, Any] | None = None, **members: Any) -> Path:
    inner = {"documents": documents, "willing": {"respondent": between(0.2, 0.2)}} | members
    path.write_text(json.dumps({"schema": "whorl.exhibits/1", "exhibits": inner, "deposit": deposit}))
    return path


def weight(done: Result) -> DocumentsWeight:
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return DocumentsWeight.model_validate_json(done.stdout)


def said(done: Result) -> str:
    lines = [line for line in done.stdout.splitlines() if not line.startswith("File  ")]
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert wording_faults(text) == ()
    return text


def test_one_document_by_hand(run: Run, tmp_path: Path) -> None:
    done = run("alternatives", "documents", exhibits(tmp_path / "e.json", log_book()), "--json")
    assert done.exit_code == 0
    ratio = next(one for one in weight(done).ratios if one.against == "independent")
    # 0.2 * 0.5 * 0.1 forged, over 0.8 * 0.95 kept and genuine; the audit as a whole fails once in 10,000.
    by_hand = (0.9999 * 0.2 * 0.5 * 0.1 + 0.0001 * 0.8 * 0.95) / (0.8 * 0.95)
    assert 10**ratio.central == pytest.approx(by_hand)
    assert (ratio.lower, ratio.upper, ratio.tornado) == (ratio.central, ratio.central, ())
    text = said(run("alternatives", "documents", tmp_path / "e.json"))
    assert "The documents speak against descent" in text
    assert "at least 75 times as probable under independent training as if" in text
    assert "independent training -1.88 -1.88 -1.88 least favourable" in text


def test_what_may_say_nothing_is_undecided(run: Run, tmp_path: Path) -> None:
    wide = log_book(true_otherwise=between(0.0, 1.0))
    done = run("alternatives", "documents", exhibits(tmp_path / "e.json", wide))
    assert (done.exit_code, done.stdout.splitlines()[0]) == (3, "Undecided")
    assert "may be as probable under independent training" in said(done)


def test_next_to_nothing_is_undecided_and_no_claim(run: Run, tmp_path: Path) -> None:
    paper = log_book(kind="publication", true_under=["published_idea"], true_otherwise=between(0.95, 0.96))
    file = exhibits(tmp_path / "e.json", paper)
    least = weight(run("alternatives", "documents", file, "--json")).least_favourable
    assert (least.against, -0.1 < least.bounded < 0) == ("published_idea", True)
    done = run("alternatives", "documents", file)
    assert (done.exit_code, done.stdout.splitlines()[0]) == (3, "Undecided")
    assert "are about as probable under a published idea" in said(done)


def test_documents_can_speak_for_descent_and_are_never_more_sure_than_their_ranges(run: Run, tmp_path: Path) -> None:
    letter = log_book(kind="correspondence", filed_by="complainant", true_under=["derived"], says="We continue Harrow.")
    file = exhibits(tmp_path / "e.json", letter, willing={"complainant": between(0.0, 0.1)})
    done = run("alternatives", "documents", file)
    assert done.exit_code == 0
    assert "The documents speak for descent" in said(done)
    least = weight(run("alternatives", "documents", file, "--json")).least_favourable
    assert 0 < least.bounded == least.lower <= least.central


def test_the_tornado_names_what_moves_the_least_favourable_ratio(run: Run, tmp_path: Path) -> None:
    file = exhibits(tmp_path / "e.json", log_book(forged_passes=between(0.01, 0.5), kept=between(0.79, 0.81)))
    text = said(run("alternatives", "documents", file))
    assert "What moves the ratio against independent training" in text
    assert text.index("D-1.forged_passes") < text.index("D-1.kept")


def test_the_file_is_the_document_and_nothing_is_overwritten(run: Run, tmp_path: Path) -> None:
    file, out = exhibits(tmp_path / "e.json", log_book()), tmp_path / "weight.json"
    done = run("alternatives", "documents", file, "-o", out, "--json")
    assert out.read_text() == done.stdout
    weight(done)
    for other in (out, file):
        before = other.read_bytes()
        again = run("alternatives", "documents", file, "-o", other)
        assert (again.exit_code, again.stdout) == (2, "")
        assert other.read_bytes() == before


def test_the_template_of_documents_is_one_that_is_accepted(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "e.json"
    file.write_text(run("alternatives", "template", "documents").stdout)
    text = said(run("alternatives", "documents", file))
    assert "D-3: the time is stated by respondent; no receipt was verified for it." in text


def test_the_missing_library_is_named_with_what_installs_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyagrum", None)
    done = run("alternatives", "documents", exhibits(tmp_path / "e.json", log_book()))
    assert (done.exit_code, done.stdout) == (2, "")
    assert "pip install 'whorl[cases]'" in done.stderr


ALIBI = stated() | {"existed_by": "2026-01-01T00:00:00Z"}
ATTESTED = {"entry": "a" * 52, "log": "bureau.example/one", "index": 1, "standing": "good"}
HOSTILE: dict[str, bytes | dict[str, Any]] = {
    "expected JSON in UTF-8": b'{"schema": "whorl.exhibits/1", "exhibits": {"access": NaN}}',
    "expected a JSON object": b"[]",
    "levels": b'{"schema": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "expected at most 1048576 bytes": b" " * ((1 << 20) + 1),
    "fault with schema": {"schema": "whorl.filters/1"},
    "found none": {},
    "above the upper end": {"documents": [log_book(kept=between(0.9, 0.8))]},
    "less than or equal to 1": {"documents": [log_book(kept=between(0.9, 1.5))]},
    "at least 0.001, found 1e-320": {"documents": [log_book(kept=between(1e-320, 0.5))]},
    "a code of its own": {"documents": [log_book(), log_book()]},
    "found 'access'": {"documents": [log_book(code="access")]},
    "found 'proposition'": {"documents": [log_book(code="proposition")]},
    "willingness to forge": {"documents": [log_book(filed_by="complainant")]},
    "at most 24 items": {"documents": [log_book(code=f"D-{number}") for number in range(25)]},
    "a failure of at least 0.0001": {"alibis": [ALIBI | {"failure": between(0.0, 0.1)}]},
    "leave `attested` out": {"alibis": [ALIBI | {"attested": ATTESTED}]},
    "names an offence": {"documents": [log_book(says="They stole it.")]},
    "says consistent with": {"documents": [log_book(grounds="the log is consistent with descent")]},
}


@pytest.mark.parametrize("message", HOSTILE)
def test_hostile_exhibits_end_with_two_and_print_nothing(run: Run, tmp_path: Path, message: str) -> None:
    content, file = HOSTILE[message], tmp_path / "e.json"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif "schema" in content:
        file.write_text(json.dumps(content))
    else:
        exhibits(file, **{"documents": [], **content})
    done = run("alternatives", "documents", file, "-o", tmp_path / "out.json")
    assert (done.exit_code, done.stdout) == (2, ""), done.stderr
    assert message in " ".join(done.stderr.split())
    assert not (tmp_path / "out.json").exists()


@dataclass(frozen=True, kw_only=True)
class Deposit:
    """Files of a deposit of two models at a bureau with witnesses, the first of which was opened."""

    receipt: Path
    opened: Path
    policy: Path

    def named(self, questioned: Path = SUSPECT) -> tuple[object, ...]:
        proof = ("--receipt", self.receipt, "--opened", self.opened, "--policy", self.policy)
        return (*proof, "--questioned", questioned, "--quiet")


@pytest.fixture
def deposited(run: Run, tmp_path: Path) -> Callable[..., Deposit]:
    found = run("alternatives", "filtration", SUSPECT, COUSIN, "--json", "--quiet")
    digests = [json.loads(found.stdout)[side]["digest"] for side in ("questioned", "reference")]

    def make(*, opened: int = 0, quorum: int = 2, good: bool | None = True) -> Deposit:
        items = [SealedItem(name=f"model {place}", content=digest) for place, digest in enumerate(digests)]
        members = seal([item.to_secret() for item in items], counting_bytes())
        key = new_issuer_key(counting_bytes(70))
        log, issuer = SmallLog(), Issuer(key)
        log.enter(issuer, "organisation", organisation(key, name="Meridian AI"))
        body = Commitment(
            root=sealed_root(members).hex(), count=len(members), purpose="alibi", expires="2036-01-01T00:00:00Z"
        )
        leaf = log.enter(issuer, "commitment", body)
        status = None if good is None else log.enter_map(issuer, {} if good else {leaf.hash: log.leaves[0].hash})
        files = Deposit(receipt=tmp_path / "receipt.json", opened=tmp_path / "opened.json", policy=tmp_path / "policy")
        files.receipt.write_bytes(log.receipt(1, status=status))
        files.opened.write_text(open_members(members, [opened]).model_dump_json())
        files.policy.write_text(log.policy(quorum=quorum).to_text() if quorum else without_quorum(log))
        return files

    return make


def without_quorum(log: SmallLog) -> str:
    lines = log.policy().to_text().splitlines()
    kept = [line for line in lines if line.split()[:1] not in (["witness"], ["group"], ["quorum"])]
    return "\n".join([*kept, "quorum none"]) + "\n"


def test_a_deposit_becomes_an_alibi_with_the_time_that_witnesses_show(
    run: Run, tmp_path: Path, deposited: Callable[..., Deposit]
) -> None:
    file = exhibits(tmp_path / "e.json", deposit=stated())
    found = weight(run("alternatives", "documents", file, *deposited().named(), "--json"))
    (alibi,) = found.exhibits.alibis
    assert (alibi.existed_by, alibi.in_time) == (DEPOSITED_AT, True)
    assert alibi.attested is not None
    assert (alibi.attested.log, alibi.attested.standing, alibi.attested.members) == ("bureau.example/one", "good", 2)
    assert found.least_favourable.upper < -1
    assert not any("no receipt was verified" in remark for remark in found.remarks)
    assert f"existed by {DEPOSITED_AT}, by entry 1 of bureau.example/one" in said(
        run("alternatives", "documents", file, *deposited().named())
    )


def test_a_deposit_after_the_reference_was_out_weighs_nothing(
    run: Run, tmp_path: Path, deposited: Callable[..., Deposit]
) -> None:
    late = stated(reference_reachable_from="2026-01-01T00:00:00Z")
    done = run("alternatives", "documents", exhibits(tmp_path / "e.json", deposit=late), *deposited().named())
    assert done.exit_code == 3
    assert "D-9 does not weigh" in said(done)


def test_a_receipt_that_does_not_say_its_standing_is_remarked_on(
    run: Run, tmp_path: Path, deposited: Callable[..., Deposit]
) -> None:
    file = exhibits(tmp_path / "e.json", deposit=stated())
    found = weight(run("alternatives", "documents", file, *deposited(good=None).named(), "--json"))
    assert "D-9: the receipt does not say whether anything speaks against the entry" in found.remarks


@pytest.mark.parametrize(
    ("made", "questioned", "message"),
    [
        ({"opened": 1}, SUSPECT, "found no member with its digest"),
        ({}, COUSIN, "found no member with its digest"),
        ({"good": False}, SUSPECT, "spoken against by"),
        ({"quorum": 0}, SUSPECT, "no quorum of witnesses"),
    ],
)
def test_a_deposit_that_does_not_hold_ends_with_one(
    run: Run, tmp_path: Path, deposited: Callable[..., Deposit], made: dict[str, Any], questioned: Path, message: str
) -> None:
    file = exhibits(tmp_path / "e.json", log_book(), deposit=stated())
    done = run("alternatives", "documents", file, *deposited(**made).named(questioned), "-o", tmp_path / "out.json")
    assert (done.exit_code, done.stdout) == (1, "")
    assert message in " ".join(done.stderr.split())
    assert not (tmp_path / "out.json").exists()


def test_members_of_another_deposit_are_refused(run: Run, tmp_path: Path, deposited: Callable[..., Deposit]) -> None:
    files = deposited()
    opened = json.loads(files.opened.read_text())
    opened["opened"][0]["salt"] = "00" * 32
    files.opened.write_text(json.dumps(opened))
    done = run("alternatives", "documents", exhibits(tmp_path / "e.json", deposit=stated()), *files.named())
    assert (done.exit_code, done.stdout) == (1, "")


@pytest.mark.parametrize(
    ("deposit", "kept", "message"),
    [
        (stated(), 0, "expected --receipt, --opened, --questioned, --policy as well"),
        (stated(), 4, "expected --questioned, --policy as well"),
        (None, 8, "expected a deposit that the receipt is of, found none"),
        (stated(code="D-1"), 8, "a code of its own for the deposit"),
        (stated(failure=between(0.0, 0.1)), 8, "a failure of at least 0.0001"),
    ],
)
def test_a_deposit_and_its_proof_come_together(
    run: Run,
    tmp_path: Path,
    deposited: Callable[..., Deposit],
    deposit: dict[str, Any] | None,
    kept: int,
    message: str,
) -> None:
    named = deposited().named()
    done = run("alternatives", "documents", exhibits(tmp_path / "e.json", log_book(), deposit=deposit), *named[:kept])
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in " ".join(done.stderr.split())


def test_the_clock_of_the_log_is_the_one_that_the_tests_expect() -> None:
    from datetime import UTC, datetime

    assert f"{datetime.fromtimestamp(START + 1, UTC):%Y-%m-%dT%H:%M:%SZ}" == DEPOSITED_AT
