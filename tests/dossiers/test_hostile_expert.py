"""A hostile expert's list: each way of cheating with a dossier is refused, and the step that refuses it is named."""

import re
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from forging import forged, listed_anew, packed, signed_anew, unpacked
from raw_zip import Member, raw_zip
from sample_case import (
    LOG,
    POPULATION,
    SampleCase,
    acquire,
    analyse,
    answer,
    freeze,
    issuer_key,
    open_case,
    opine,
    opinion_on,
    replicate,
    review,
    whole_case,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "entries"))  # small_log

from small_log import Issuer, SmallLog, organisation

from whorl.dossiers import verifying
from whorl.dossiers.bag import INFO, LISTED_TAGS, MANIFEST, ROOT, TAG_MANIFEST, parse_manifest, write_manifest
from whorl.dossiers.custody import open_chain, parse_chain, write_chain
from whorl.dossiers.events import Acquired, Closed, Expunged, Frozen, Protocol
from whorl.dossiers.layout import CRATE, CUSTODY
from whorl.dossiers.proceeding import proceed
from whorl.dossiers.protocol_commitment import commitment_to
from whorl.dossiers.verifying import STEPS, Verification, verify_dossier
from whorl.entries.keys import encode_public
from whorl.entries.kinds import Commitment

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
EXHIBIT = f"data/exhibits/{sha256(LOG).hexdigest()}"
CASE = whole_case()
MANAGER = CASE.key("manager")
STRANGER = issuer_key(77)
OPINION = CASE.files["data/opinion-1.json"]
Files = dict[str, bytes]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("honest") / "x.dossier"
    CASE.build(out)
    return out


@pytest.fixture
def files(honest: Path) -> Files:
    return unpacked(honest)


@pytest.fixture
def verified(tmp_path: Path) -> Callable[..., Verification]:
    def verify(files: Files | Path | bytes, **options: object) -> Verification:
        path = tmp_path / "y.dossier"
        if isinstance(files, Path):
            path = files
        elif isinstance(files, bytes):
            path.write_bytes(files)
        else:
            packed(files, path)
        return verify_dossier(path, now=options.pop("now", NOW), **options)  # type: ignore[arg-type]

    return verify


Verify = Callable[..., Verification]


def refused(found: Verification, *numbers: int, why: str) -> None:
    """Exactly these steps failed, and the first of them says why."""
    assert [step.number for step in found.failed] == list(numbers), found.failed
    assert re.search(why, found.failed[0].detail), found.failed[0].detail


def a_finding(case: SampleCase, relation: str = "none_found") -> str:
    """Path of the first finding with that outcome."""
    return next(
        name
        for name, content in case.files.items()
        if name.startswith("data/findings/") and relation.encode() in content
    )


def test_nothing_is_wrong_with_the_honest_dossier(verified: Verify, honest: Path) -> None:
    key = MANAGER.public_keys[0]
    found = verified(honest, keys=[key], case=CASE.kept[0].record.hash.hex())
    assert not found.failed
    assert [step.name for step in found.not_checked] == ["receipts"]
    assert (found.verdict, found.void, found.hearing) == ("supports_shared_weights", False, "answered")
    assert [step.number for step in found.steps] == list(range(1, len(STEPS) + 1))
    assert (found.case, found.issuer) == (CASE.kept[0].record.hash.hex(), encode_public(key))


# Swapped exhibits


def test_an_exhibit_exchanged_in_the_file(verified: Verify, files: Files) -> None:
    refused(verified(files | {EXHIBIT: b"another log"}), 2, 3, 7, why="changed or replaced")


def test_an_exhibit_exchanged_and_listed_anew(verified: Verify, files: Files) -> None:
    refused(
        verified(listed_anew(files | {EXHIBIT: b"another log"})), 4, 7, why="files were changed after it was signed"
    )


def test_an_exhibit_exchanged_by_the_manager(verified: Verify, files: Files) -> None:
    refused(verified(forged(files | {EXHIBIT: b"another log"}, MANAGER)), 7, why="it was exchanged")


def test_two_exhibits_that_change_places(verified: Verify, files: Files) -> None:
    one, two = sorted(name for name in files if name.startswith("data/exhibits/"))[:2]
    swapped = files | {one: files[two], two: files[one]}
    refused(verified(swapped), 2, 3, 7, why="changed or replaced")
    refused(verified(forged(swapped, MANAGER)), 7, why="it was exchanged")


def test_another_exhibit_under_its_own_digest(verified: Verify, files: Files) -> None:
    other = b"another log"
    changed = {name: content for name, content in files.items() if name != EXHIBIT}
    changed[f"data/exhibits/{sha256(other).hexdigest()}"] = other
    refused(
        verified(forged(changed, MANAGER)),
        7,
        9,
        why=r"exhibit .* that event 16 \(acquired\) names, found no .* left out",
    )


# Edited numbers


def test_numbers_edited_in_the_opinion(verified: Verify, files: Files) -> None:
    edited = files | {"data/opinion-1.json": OPINION.replace(b'"value":5.0', b'"value":9.0')}
    assert edited != files
    refused(verified(edited), 2, 3, 7, 9, why="'data/opinion-1.json'.*changed or replaced")
    refused(verified(listed_anew(edited)), 4, 7, 9, why="changed after it was signed")
    refused(verified(forged(edited, MANAGER)), 7, 9, why="it was exchanged")


def test_numbers_that_do_not_follow_from_the_findings_though_all_sign_them(verified: Verify, tmp_path: Path) -> None:
    case = whole_case(opinion=False)
    honest = opinion_on(case)
    assert honest.headline is not None
    assert honest.headline.log10_lr > 0
    opine(case, honest.model_copy(update={"headline": honest.headline.model_copy(update={"log10_lr": 1.9})}))
    case.build(tmp_path / "x.dossier")
    refused(verified(tmp_path / "x.dossier"), 9, why="expected the numbers that follow from the findings")


@pytest.mark.parametrize("error", [OverflowError("math range error"), ValueError("not finite"), ZeroDivisionError()])
def test_numbers_that_nothing_can_be_computed_with(
    verified: Verify, honest: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def raising(_: object) -> None:
        raise error

    steps = tuple((name, raising if name == "numbers" else ask) for name, ask in STEPS)
    monkeypatch.setattr(verifying, "STEPS", steps)
    refused(verified(honest), 9, why=f"can be computed with, found {type(error).__name__}")


def test_an_opinion_on_another_case(verified: Verify, tmp_path: Path) -> None:
    case = whole_case(opinion=False)
    opine(case, opinion_on(whole_case(opinion=False, title="Origin of lumen-2")))
    case.build(tmp_path / "x.dossier")
    refused(verified(tmp_path / "x.dossier"), 8, 9, why="expected an opinion on case")


def test_numbers_edited_in_a_finding_or_a_population(verified: Verify, files: Files) -> None:
    population = f"data/populations/{sha256(POPULATION).hexdigest()}"
    for name in (a_finding(CASE), population):
        edited = files | {name: files[name] + b" "}
        refused(verified(edited), 2, 3, 7, why="changed or replaced")
        refused(verified(forged(edited, MANAGER)), 7, why="it was exchanged")


def test_a_figure_edited_in_the_chain(verified: Verify, files: Files) -> None:
    kept = list(parse_chain(files[CUSTODY]))
    assert kept[9].envelope is not None
    kept[9] = replace(kept[9], envelope=kept[9].envelope.replace(b"A", b"B", 1))
    edited = files | {CUSTODY: write_chain(kept)}
    refused(verified(edited), 2, 3, 5, why="changed or replaced")
    refused(verified(forged(edited, MANAGER)), 5, why=r"event 9 .*it was exchanged")


def test_a_root_that_names_another_opinion(verified: Verify, files: Files) -> None:
    refused(verified(signed_anew(files, MANAGER, opinion="ab" * 32)), 6, why="names the opinion in force")
    refused(verified(signed_anew(files, MANAGER, opinion=None)), 6, why="names the opinion in force")


def test_a_verdict_that_the_chain_does_not_state(verified: Verify, tmp_path: Path) -> None:
    """More is asked before an opinion that supports something; so the event says inconclusive, and the opinion more."""
    case = whole_case(opinion=False, replicated=False)
    stated = opinion_on(case)
    assert stated.verdict.startswith("supports_")
    opine(case, stated)
    case.build(tmp_path / "x.dossier")
    refused(verified(tmp_path / "x.dossier"), 6, why="rule 23: expected every finding made again")
    sly = whole_case(opinion=False)
    opine(sly, stated, verdict="inconclusive")
    sly.build(tmp_path / "y.dossier")
    refused(verified(tmp_path / "y.dossier"), 8, 9, why="expected the verdict that the chain states")
    assert verified(tmp_path / "y.dossier").verdict is None


def test_a_document_of_another_size_than_was_counted(verified: Verify, tmp_path: Path) -> None:
    case = SampleCase()
    add, real = case.add, Acquired.model_copy

    def smaller(role: str, body: object, **options: object) -> None:
        if isinstance(body, Acquired) and body.size is not None:
            body = real(body, update={"size": 1})
        add(role, body, **options)  # type: ignore[arg-type]

    case.add = smaller  # type: ignore[method-assign,assignment]
    for step in (open_case, freeze, acquire, analyse, answer):
        step(case)
    case.build(tmp_path / "x.dossier")
    refused(verified(tmp_path / "x.dossier"), 7, why=r"with 1 bytes, as it says, found \d\d")


def test_an_opinion_worded_as_an_accusation(verified: Verify, tmp_path: Path) -> None:
    case = whole_case(opinion=False)
    opine(case, opinion_on(case, limitations=["lumen-1 is a stolen copy."]))
    case.build(tmp_path / "x.dossier")
    refused(verified(tmp_path / "x.dossier"), 11, why=r"opinion-1\.json: expected words that a comparison can bear")


# Signed by somebody else


def test_signed_anew_with_another_key(verified: Verify, files: Files) -> None:
    resigned = signed_anew(files, STRANGER)
    refused(verified(resigned), 6, why="signed by the manager of the case")
    refused(verified(resigned, keys=MANAGER.public_keys), 4, 6, why="signed by the key that you gave")


def test_signed_by_another_person_of_the_case(verified: Verify, files: Files) -> None:
    refused(verified(signed_anew(files, CASE.key("analyst"))), 6, why="signed by the manager of the case")


def test_a_signature_of_another_dossier(verified: Verify, files: Files, tmp_path: Path) -> None:
    other = whole_case(title="Origin of lumen-2")
    other.build(tmp_path / "other.dossier")
    root = unpacked(tmp_path / "other.dossier")[ROOT]
    refused(verified(files | {ROOT: root}), 3, 4, why="ro-crate-metadata")
    refused(verified(files | {ROOT: files[ROOT].replace(b'"sig":"', b'"sig":"AA')}), 4, why="signature")


def test_a_whole_case_forged_by_one_person_is_another_case(verified: Verify, tmp_path: Path) -> None:
    forgery = whole_case(first_key=101)
    forgery.build(tmp_path / "forged.dossier")
    assert not verified(tmp_path / "forged.dossier").failed  # whoever invents all persons can tell any story ...
    case = CASE.kept[0].record.hash.hex()
    refused(verified(tmp_path / "forged.dossier", case=case), 5, why="expected a dossier of the case")
    refused(verified(tmp_path / "forged.dossier", keys=MANAGER.public_keys), 4, why="the key that you gave")


# Findings left out


def test_a_contrary_finding_dropped_from_the_bag(verified: Verify, files: Files) -> None:
    name = a_finding(CASE)
    dropped = {one: content for one, content in files.items() if one != name}
    refused(verified(dropped), 2, 3, 7, 9, why="that it lists, found none")
    refused(verified(forged(dropped, MANAGER)), 7, 9, why=r"finding .* \(analysed\) names, found no .* left out")


def test_a_contrary_finding_dropped_from_the_chain(verified: Verify, files: Files) -> None:
    kept = list(parse_chain(files[CUSTODY]))
    place = next(n for n, one in enumerate(kept) if one.record.kind == "analysed")
    shorter = write_chain(kept[:place] + kept[place + 1 :])
    found = verified(forged(files | {CUSTODY: shorter}, MANAGER))
    refused(found, 5, why=rf"event {place} .*an event was left out or moved")


def test_the_content_of_a_finding_dropped_from_the_chain(verified: Verify, files: Files) -> None:
    kept = list(parse_chain(files[CUSTODY]))
    place = next(n for n, one in enumerate(kept) if one.record.kind == "analysed")
    kept[place] = replace(kept[place], envelope=None, salt=None)
    emptied = forged(files | {CUSTODY: write_chain(kept)}, MANAGER)
    refused(verified(emptied), 6, 7, 9, why=f"event {place} was erased and no tombstone says so")


def test_the_last_events_cut_off(verified: Verify, files: Files) -> None:
    kept = parse_chain(files[CUSTODY])
    cut = listed_anew(files | {CUSTODY: write_chain(kept[:-2])})
    refused(verified(signed_anew(cut, MANAGER)), 5, why="events were left out or added")


def test_a_finding_of_another_case_slipped_in(verified: Verify, files: Files) -> None:
    finding = b'{"relation":"derived"}'
    more = files | {f"data/findings/{sha256(finding).hexdigest()}.json": finding}
    refused(verified(more), 2, 3, 7, why="which is not")
    refused(verified(forged(more, MANAGER)), 7, why="only files that an event names")


# Another case


def test_a_dossier_of_another_case_replayed(verified: Verify, honest: Path, tmp_path: Path) -> None:
    refused(verified(honest, case="ab" * 32), 5, why="expected a dossier of the case abab")


def test_the_chain_of_another_case(verified: Verify, files: Files) -> None:
    other = whole_case(title="Origin of lumen-2")
    mixed = forged(files | {CUSTODY: write_chain(other.kept)}, MANAGER)
    refused(verified(mixed), 5, why="events were left out or added, or the chain is of another case")


def test_an_event_of_another_case(verified: Verify, files: Files) -> None:
    other = whole_case(title="Origin of lumen-2")
    kept = [*CASE.kept[:-1], other.kept[-1]]
    refused(verified(forged(files | {CUSTODY: write_chain(kept)}, MANAGER)), 5, why="event 20 .* the chain was changed")


# Clocks


def test_times_that_run_backwards(verified: Verify, tmp_path: Path) -> None:
    case = whole_case()
    case.add("manager", Closed(outcome="completed", reasons="Done."), at=case.at - timedelta(minutes=30))
    case.build(tmp_path / "x.dossier")
    refused(verified(tmp_path / "x.dossier"), 6, why="rule 1: expected a time not before the last event's")


def test_built_before_its_last_event(verified: Verify, files: Files) -> None:
    early = forged(files, MANAGER, built_at="2026-11-02T10:00:00Z")
    refused(verified(early), 6, why="a clock was turned back")


def test_built_or_signed_in_the_future(verified: Verify, files: Files, honest: Path) -> None:
    refused(verified(forged(files, MANAGER, built_at="2027-11-02T10:00:00Z")), 4, why="after your clock")
    before = CASE.at - timedelta(minutes=11)
    refused(verified(honest, now=before), 4, 6, why="after your clock")
    assert not verified(honest, now=CASE.at - timedelta(minutes=9)).failed


def test_another_date_on_the_bag_than_in_the_root(verified: Verify, files: Files) -> None:
    redated = signed_anew(listed_anew(files, built_at="2026-11-20T10:00:00Z"), MANAGER)
    refused(verified(redated), 3, 4, why="ro-crate-metadata")


# The file itself


def test_a_path_out_of_the_folder(verified: Verify, files: Files) -> None:
    for name in (b"dossier/../../etc/cron.d/x", b"/etc/passwd", b"dossier/data/..", b"c:/x", b"dossier\\x"):
        members = [Member(name=f"dossier/{one}".encode(), content=files[one]) for one in sorted(files)]
        refused(
            verified(raw_zip([*members, Member(name=name, content=b"x")])), 1, why="absolute|leaves|backslash|twice"
        )


def test_a_zip_bomb(verified: Verify) -> None:
    zeros = bytes(8 << 20)
    stored = zlib.compress(zeros, 9)[2:-4]
    bomb = raw_zip([Member(name=b"dossier/data/custody.jsonl", content=zeros, stored=stored, method=8)])
    refused(verified(bomb), 1, why="compressed")
    lying = raw_zip([Member(name=b"dossier/data/custody.jsonl", content=b"x", size=1 << 31, stored_size=1 << 31)])
    refused(verified(lying), 1, why="at most|reaching")


def test_a_name_twice(verified: Verify, files: Files) -> None:
    members = [Member(name=f"dossier/{one}".encode(), content=files[one]) for one in sorted(files)]
    again = next(member for member in members if member.name.endswith(b"opinion-1.json"))
    place = members.index(again)
    twice = [*members[: place + 1], replace(again, content=b"{}"), *members[place + 1 :]]
    refused(verified(raw_zip(twice)), 1, why="a name twice")


def test_an_unlisted_file(verified: Verify, files: Files) -> None:
    refused(verified(files | {"data/opinion-2.json": OPINION}), 2, 3, 7, why="which is not")
    refused(verified(files | {"readme.txt": b"x"}), 2, why="no tag file but")
    refused(
        verified(forged(files | {"data/opinion-2.json": OPINION}, MANAGER)), 7, why="only files that an event names"
    )


def test_a_file_that_the_format_does_not_name(verified: Verify, files: Files) -> None:
    refused(verified(files | {"data/invoice.pdf": b"x"}), 2, 3, why="which is not")


def test_files_outside_of_the_bags_folder(verified: Verify, files: Files, tmp_path: Path) -> None:
    other = packed(files, tmp_path / "z", base="other/")
    refused(verified(other), 1, why="under dossier/")


def test_a_truncated_file(verified: Verify, honest: Path) -> None:
    data = honest.read_bytes()
    for size in (0, 3, 21, 22, len(data) // 2, len(data) - 23, len(data) - 1):
        refused(verified(data[:size]), 1, why="expected a dossier")
    refused(verified(data + b"\n"), 1, why="expected a dossier")


def test_a_report_replaced(verified: Verify, files: Files) -> None:
    replaced = files | {"data/report.html": b"<!doctype html><title>Copied</title>"}
    refused(verified(replaced), 2, 3, why="'data/report.html'.*changed or replaced")
    refused(verified(listed_anew(replaced)), 4, why="changed after it was signed")
    refused(verified(forged(replaced, STRANGER)), 6, why="signed by the manager")


def test_a_claim_slipped_into_the_catalogue(verified: Verify, files: Files) -> None:
    claim = files[CRATE].replace(b'"Exhibit"', b'"The copied weights"', 1)
    changed = files | {CRATE: claim}
    size = sum(len(content) for one, content in changed.items() if one.startswith("data/"))
    digests = parse_manifest(files[MANIFEST], what=MANIFEST) | {CRATE: sha256(claim).hexdigest()}
    changed[MANIFEST] = write_manifest(digests)
    changed[INFO] = re.sub(rb"Payload-Oxum: \d+", b"Payload-Oxum: %d" % size, files[INFO])
    changed[TAG_MANIFEST] = write_manifest({one: sha256(changed[one]).hexdigest() for one in LISTED_TAGS})
    refused(verified(signed_anew(changed, MANAGER)), 3, why=r"expected a description of 'exhibits/")


def test_a_wrong_size_on_the_bag(verified: Verify, files: Files) -> None:
    changed = files | {INFO: re.sub(rb"Payload-Oxum: \d", b"Payload-Oxum: 9", files[INFO])}
    changed[TAG_MANIFEST] = write_manifest({one: sha256(changed[one]).hexdigest() for one in LISTED_TAGS})
    refused(verified(signed_anew(changed, MANAGER)), 2, why="Payload-Oxum")


def test_a_weaker_manifest(verified: Verify, files: Files) -> None:
    weaker = dict(files)
    weaker["manifest-md5.txt"] = weaker.pop(MANIFEST)
    refused(verified(weaker), 2, why="found 'manifest-md5.txt'")
    refused(verified(files | {"manifest-sha1.txt": b""}), 2, why="found 'manifest-sha1.txt'")
    weaker = dict(files)
    weaker["tagmanifest-md5.txt"] = weaker.pop(TAG_MANIFEST)
    refused(verified(weaker), 2, 4, why="found 'tagmanifest-md5.txt'")
    shortened = files | {MANIFEST: re.sub(rb"(?m)^([0-9a-f]{32})[0-9a-f]{32}", rb"\1", files[MANIFEST])}
    refused(verified(shortened), 2, why="expected")


# What is unsettled


def test_controls_that_were_never_judged_are_said_to_be(verified: Verify, tmp_path: Path) -> None:
    case = SampleCase()
    for step in (open_case, freeze, acquire, analyse):
        step(case)
    case.add("manager", Closed(outcome="withdrawn", reasons="The complaint was withdrawn."))
    case.build(tmp_path / "x.dossier")
    found = verified(tmp_path / "x.dossier")
    assert not found.failed
    assert (found.void, found.verdict) == (None, None)
    assert "5 comparisons were made and the code key was never shown: the controls were NEVER" in found.steps[5].detail


def replicated_until_it_agrees() -> SampleCase:
    """A second analyst found something else, and a third one was asked."""
    case = whole_case(opinion=False)
    made = proceed(open_chain(case.kept)).replications[0]
    other = made.findings[0].model_copy(update={"largest_difference": 0.9})
    case.add("replicator", made.model_copy(update={"findings": (other, *made.findings[1:])}))
    replicate(case)
    review(case)
    return case


def test_a_replication_that_differed_is_said_to_have(verified: Verify, tmp_path: Path) -> None:
    case = replicated_until_it_agrees()
    case.add("manager", Closed(outcome="unanswerable", reasons="A second analyst found something else."))
    case.build(tmp_path / "x.dossier")
    found = verified(tmp_path / "x.dossier")
    assert not found.failed
    assert "1 of 3 replications found something ELSE than the analyst" in found.steps[5].detail


def test_no_opinion_on_findings_that_one_analyst_did_not_get(verified: Verify, tmp_path: Path) -> None:
    case = replicated_until_it_agrees()
    opine(case, opinion_on(case))
    case.build(tmp_path / "x.dossier")
    refused(verified(tmp_path / "x.dossier"), 6, why="rule 23: expected no replication with other findings")


# What was erased


def erased_case() -> tuple[SampleCase, str, str]:
    """A case of which the respondent's document was erased; the path it had, and a finding's that was not."""
    case = whole_case(opinion=False)
    document = next(n for n, one in enumerate(case.kept) if n > 15 and one.record.kind == "acquired")
    case.add("manager", Closed(outcome="withdrawn", reasons="The complaint was withdrawn."))
    keys = tuple(encode_public(key) for key in MANAGER.public_keys)
    blob = f"sha256:{sha256(LOG).hexdigest()}"
    case.add("manager", Expunged(events=(document,), blobs=(blob,), ground="withdrawal", void=False, keys=keys))
    return case, EXHIBIT, a_finding(case)


def test_what_was_erased_leaves_a_dossier_that_holds(verified: Verify, tmp_path: Path) -> None:
    case, path, _ = erased_case()
    n = next(n for n, one in enumerate(case.kept) if n > 15 and one.record.kind == "acquired")
    case.kept[n] = replace(case.kept[n], envelope=None, salt=None)
    del case.files[path]
    case.build(tmp_path / "x.dossier")
    found = verified(tmp_path / "x.dossier")
    assert not found.failed
    assert "1 events and 1 files were erased" in found.steps[6].detail


def test_an_erased_file_that_is_there_again(verified: Verify, tmp_path: Path) -> None:
    case, _, _ = erased_case()
    n = next(n for n, one in enumerate(case.kept) if n > 15 and one.record.kind == "acquired")
    case.kept[n] = replace(case.kept[n], envelope=None, salt=None)
    case.build(tmp_path / "x.dossier")
    refused(verified(tmp_path / "x.dossier"), 7, why="erased to be gone, found it again as 'data/exhibits/")


def test_an_erased_file_under_another_name(verified: Verify, tmp_path: Path) -> None:
    case, path, _ = erased_case()
    n = next(n for n, one in enumerate(case.kept) if n > 15 and one.record.kind == "acquired")
    case.kept[n] = replace(case.kept[n], envelope=None, salt=None)
    case.files["data/exports/log.json"] = case.files.pop(path)
    case.build(tmp_path / "x.dossier")
    refused(verified(tmp_path / "x.dossier"), 7, why="erased to be gone, found it again as 'data/exports/log.json'")


def test_an_erased_event_that_is_there_again(verified: Verify, tmp_path: Path) -> None:
    case, path, _ = erased_case()
    del case.files[path]
    case.build(tmp_path / "x.dossier")
    refused(verified(tmp_path / "x.dossier"), 6, why="is called erased and is still there")


# Receipts


def protocol() -> Protocol:
    body = next(event.body for event in open_chain(CASE.kept) if event.record.kind == "frozen")
    assert isinstance(body, Frozen)
    return body.protocol


def receipt_of(
    log: SmallLog, *, standing: bytes | None = None, status: bool = True, body: Commitment | None = None
) -> bytes:
    """The receipt of a commitment that the manager entered; ``standing`` is what speaks against it."""
    issuer = Issuer(MANAGER)
    log.enter(issuer, "organisation", organisation(MANAGER, name="Casey Manager"))
    body = body or commitment_to(protocol(), expires="2030-01-01T00:00:00Z")
    leaf = log.enter(issuer, "commitment", body)
    found = log.enter_map(issuer, {} if standing is None else {leaf.hash: standing}) if status else None
    return log.receipt(1, status=found)


def built(folder: Path, receipt: bytes) -> Path:
    """An honest dossier of a case that names this receipt."""
    whole_case(receipt=receipt).build(folder / "x.dossier")
    return folder / "x.dossier"


def test_a_receipt_holds_by_the_readers_policy_alone(verified: Verify, tmp_path: Path) -> None:
    log = SmallLog()
    path = built(tmp_path, receipt_of(log))
    without = verified(path)
    assert not without.failed
    assert without.steps[9].outcome == "not_checked"
    assert "no policy was given" in without.steps[9].detail
    passed = verified(path, policy=log.policy()).steps[9]
    assert passed.outcome == "passed"
    assert "before 2026-09-21T14:13:21Z, seen by 3 witnesses" in passed.detail
    assert "what was committed to is the protocol of this case" in passed.detail
    other = SmallLog(origin="bureau.example/two")
    refused(verified(path, policy=other.policy()), 10, why=r"protocol\.receipt\.json")


def test_the_policy_in_the_dossier_is_not_the_readers(verified: Verify, tmp_path: Path) -> None:
    log = SmallLog()
    case = whole_case(receipt=receipt_of(log))
    case.files["data/policy.txt"] = log.policy().to_text().encode()
    case.build(tmp_path / "x.dossier")
    assert verified(tmp_path / "x.dossier").steps[9].outcome == "not_checked"


def test_a_receipt_from_the_future(verified: Verify, tmp_path: Path) -> None:
    log = SmallLog(clock=int((NOW + timedelta(days=2)).timestamp()))
    path = built(tmp_path, receipt_of(log))
    refused(verified(path, policy=log.policy()), 10, why="after your clock")
    later = verified(path, policy=log.policy(), now=NOW + timedelta(days=3))
    refused(later, 10, why="committed to before the first exhibit was acquired")  # its time is believed then, and asked


def test_a_receipt_of_an_entry_that_something_speaks_against(verified: Verify, tmp_path: Path) -> None:
    log = SmallLog()
    path = built(tmp_path, receipt_of(log, standing=b"\x05" * 32))
    refused(verified(path, policy=log.policy()), 10, why="speaks against the entry")


def other_protocol() -> Commitment:
    changed = protocol().model_copy(update={"alpha": 0.01})
    return commitment_to(changed, expires="2030-01-01T00:00:00Z")


OTHER_COMMITMENTS = {
    "another protocol": (other_protocol, "expected the commitment to the protocol of this case"),
    "another purpose": (
        lambda: commitment_to(protocol(), expires="2030-01-01T00:00:00Z").model_copy(update={"purpose": "alibi"}),
        "found an entry of another kind or purpose",
    ),
    "one of many protocols": (
        lambda: commitment_to(protocol(), expires="2030-01-01T00:00:00Z").model_copy(update={"count": 9}),
        "of 9",
    ),
}


@pytest.mark.parametrize("what", OTHER_COMMITMENTS)
def test_a_commitment_to_something_else_than_the_protocol(verified: Verify, tmp_path: Path, what: str) -> None:
    make, why = OTHER_COMMITMENTS[what]
    log = SmallLog()
    path = built(tmp_path, receipt_of(log, body=make()))
    refused(verified(path, policy=log.policy()), 10, why=why)


def test_a_protocol_committed_to_after_the_first_exhibit(verified: Verify, tmp_path: Path) -> None:
    """The case says that all of it happened on 2 November; the registry saw the protocol a week later."""
    log = SmallLog(clock=int(datetime(2026, 11, 9, tzinfo=UTC).timestamp()))
    path = built(tmp_path, receipt_of(log))
    refused(verified(path, policy=log.policy()), 10, why="committed to before the first exhibit was acquired")


def test_no_receipt_is_not_said_to_hold(verified: Verify, honest: Path) -> None:
    step = verified(honest).steps[9]
    assert step.outcome == "not_checked"
    assert "every time in it is of its parties' own clocks" in step.detail


def test_a_receipt_without_a_time_is_not_said_to_hold(verified: Verify, tmp_path: Path) -> None:
    log = SmallLog()
    path = built(tmp_path, receipt_of(log))
    step = verified(path, policy=replace(log.policy(), witnesses=(), groups=(), quorum="none")).steps[9]
    assert step.outcome == "not_checked", step.detail
    assert "nobody whom you trust attests a time" in step.detail


def test_a_receipt_that_does_not_say_its_standing_is_not_counted_as_checked(verified: Verify, tmp_path: Path) -> None:
    log = SmallLog()
    path = built(tmp_path, receipt_of(log, status=False))
    found = verified(path, policy=log.policy())
    assert (found.failed, found.steps[9].outcome) == ((), "not_checked")


def test_a_receipt_of_something_else(verified: Verify, files: Files) -> None:
    log = SmallLog()
    foreign = forged(files | {"data/registry/other.receipt.json": receipt_of(log)}, MANAGER)
    refused(verified(foreign, policy=log.policy()), 10, why="it belongs to something else")


def test_a_receipt_left_out_or_broken(verified: Verify, files: Files, tmp_path: Path) -> None:
    log = SmallLog()
    path = built(tmp_path, receipt_of(log))
    name = "data/registry/protocol.receipt.json"
    with_receipt = unpacked(path)
    without = {one: content for one, content in with_receipt.items() if one != name}
    refused(verified(forged(without, MANAGER)), 7, why=r"receipt .* that event \d+ \(frozen\) names, found none")
    broken = forged(files | {name: b"{}"}, MANAGER)
    refused(verified(broken, policy=log.policy()), 10, why=r"protocol\.receipt\.json: expected a receipt")
