"""The bag and its catalogue: the libraries of both standards read what we write; we read less than they do."""

import zipfile
from hashlib import sha256
from pathlib import Path

import bagit
import pytest
from rocrate.rocrate import ROCrate

from whorl.core.errors import InputError
from whorl.dossiers.archive import Measured, measure
from whorl.dossiers.bag import (
    INFO,
    MANIFEST,
    TAGS,
    BagInfo,
    parse_info,
    parse_manifest,
    require_listed,
    require_tag_files,
    write_manifest,
)
from whorl.dossiers.building import Facts, build_dossier
from whorl.dossiers.crate import require_crate, write_crate
from whorl.dossiers.layout import PLACES, address_of, place_of
from whorl.entries.keys import IssuerKey, PrivateKey

CASE = "5e" * 32
AT = "2026-11-27T10:00:00Z"
EXHIBIT = b"weights\r\n" * 300
ADDRESS = sha256(EXHIBIT).hexdigest()
FILES = {
    "data/custody.jsonl": b'{"record":1}\n',
    f"data/exhibits/{ADDRESS}": EXHIBIT,
    "data/report.html": "<!doctype html><title>Bericht \u00fc</title>".encode(),
    "data/registry/protocol.receipt.json": b"{}",
}
FACTS = Facts(case=CASE, head="7a" * 32, events=1, opinion=None, built_at=AT, tool="whorl 0.1.0")
KEY = IssuerKey(ed25519=PrivateKey(algorithm="ed25519", seed=bytes(32)))
A, B = "aa" * 32, "bb" * 32


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    out = tmp_path / "x.dossier"
    build_dossier(FILES, facts=FACTS, key=KEY, out=out)
    with zipfile.ZipFile(out) as unpacked:
        unpacked.extractall(tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["dossier", "x.dossier"]
    return tmp_path / "dossier"


def test_the_library_of_congress_tool_validates_the_bag(bag: Path) -> None:
    read = bagit.Bag(str(bag))
    read.validate()
    assert read.version == "1.0"
    assert read.info["Bagging-Date"] == "2026-11-27"
    assert read.info["External-Identifier"] == f"urn:whorl:case:{CASE}"
    (bag / "data" / "exhibits" / ADDRESS).write_bytes(EXHIBIT + b"x")
    with pytest.raises(bagit.BagValidationError):
        read.validate()


def test_the_ro_crate_library_reads_the_catalogue(bag: Path) -> None:
    crate = ROCrate(bag / "data")
    assert crate.version == "1.2"
    assert {entity.id for entity in crate.data_entities} == {path.removeprefix("data/") for path in FILES}
    exhibit = crate.get(f"exhibits/{ADDRESS}")
    assert exhibit["sha256"] == ADDRESS
    assert exhibit["contentSize"] == str(len(EXHIBIT))
    assert crate.root_dataset["license"]["name"] == "Terms that the first event of the case states"
    assert {"name", "description", "datePublished", "license"} <= crate.root_dataset.properties().keys()


def test_the_same_case_gives_the_same_bytes_from_memory_and_from_files(tmp_path: Path) -> None:
    first = build_dossier(FILES, facts=FACTS, key=KEY, out=tmp_path / "1.dossier")
    exhibit = tmp_path / "exhibit"
    exhibit.write_bytes(EXHIBIT)
    sources = dict(reversed(FILES.items())) | {f"data/exhibits/{ADDRESS}": exhibit}
    second = build_dossier(sources, facts=FACTS, key=KEY, out=tmp_path / "2.dossier")
    assert (tmp_path / "1.dossier").read_bytes() == (tmp_path / "2.dossier").read_bytes()
    assert first == second
    assert first.digest == sha256((tmp_path / "1.dossier").read_bytes()).hexdigest()
    assert first.size == (tmp_path / "1.dossier").stat().st_size


def test_a_root_with_a_second_signature_is_kept_for_the_same_files_and_no_others(tmp_path: Path) -> None:
    key = IssuerKey(ed25519=KEY.ed25519, mldsa44=PrivateKey(algorithm="mldsa44", seed=bytes(32)))
    first = build_dossier(FILES, facts=FACTS, key=key, out=tmp_path / "1.dossier")
    again = build_dossier(FILES, facts=FACTS, key=key, out=tmp_path / "2.dossier", kept_root=first.root)
    assert again == first
    changed = FILES | {"data/report.html": b"<!doctype html>"}
    other = build_dossier(changed, facts=FACTS, key=key, out=tmp_path / "3.dossier", kept_root=first.root)
    assert other.root != first.root


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"data/custody.jsonl": b"", "data/exhibits/" + A: b"x"}, "the content that its name promises"),
        ({"data/custody.jsonl": b"", "data/notes.txt": b""}, "only files that the format names"),
        ({"data/custody.jsonl": b"", "data/exhibits/" + "A" * 64: b""}, "only files that the format names"),
        ({"data/custody.jsonl": b"", "data/opinion-0.json": b""}, "only files that the format names"),
        ({"data/custody.jsonl": b"", "bagit.txt": b""}, "only files that the format names"),
        ({"data/report.html": b""}, "data/custody.jsonl"),
        ({"data/custody.jsonl": b"", "data/ro-crate-metadata.json": b""}, "without"),
    ],
)
def test_files_that_have_no_place_are_not_built_in(tmp_path: Path, files: dict[str, bytes], why: str) -> None:
    with pytest.raises(InputError, match=why):
        build_dossier(files, facts=FACTS, key=KEY, out=tmp_path / "x.dossier")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_source_leaves_nothing_behind_and_the_old_file_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "x.dossier"
    out.write_bytes(b"old")
    with pytest.raises(FileNotFoundError):
        build_dossier(FILES | {"data/report.pdf": tmp_path / "gone"}, facts=FACTS, key=KEY, out=out)
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("x.dossier", b"old")]


def test_a_manifest_reads_as_it_was_written_and_in_no_other_spelling() -> None:
    listed = {"data/b": B, "data/a": A}
    text = write_manifest(listed)
    assert text == f"{A}  data/a\n{B}  data/b\n".encode()
    assert parse_manifest(text, what=MANIFEST) == listed
    for other in (
        text.upper(),
        text.replace(b"  ", b" "),
        text.replace(b"  ", b" *"),
        text.replace(b"\n", b"\r\n"),
        text[:-1],
        text + b"\n",
        text + text,
        f"{B}  data/b\n{A}  data/a\n".encode(),
        f"{A}  data/a\n{B}  data/a\n".encode(),
        f"{A[:32]}  data/a\n".encode(),
        text + f"{A}  data/\u00e9\n".encode(),
    ):
        with pytest.raises(InputError, match=r"manifest-sha256\.txt: expected"):
            parse_manifest(other, what=MANIFEST)


def test_lists_and_files_must_be_the_same() -> None:
    measured = {"data/a": Measured(size=1, crc=0, digest=A)}
    require_listed({"data/a": A}, measured, what=MANIFEST)
    for listed, why in (({}, "'data/a', which is not"), ({"data/a": B}, "changed or replaced"), (
        {"data/a": A, "data/b": B}, "'data/b' that it lists, found none")):  # fmt: skip
        with pytest.raises(InputError, match=why):
            require_listed(listed, measured, what=MANIFEST)


def test_tag_files_are_these_and_no_others() -> None:
    names = dict.fromkeys((*TAGS, "data/custody.jsonl"))
    require_tag_files(names)
    for extra in ("manifest-md5.txt", "tagmanifest-sha1.txt", "fetch.txt", "readme.txt", "metadata/x.xml"):
        with pytest.raises(InputError, match=f"found '{extra}'"):
            require_tag_files(names | {extra: None})
    for missing in TAGS:
        with pytest.raises(InputError, match=f"expected the tag file {missing}, found none"):
            require_tag_files({name: None for name in names if name != missing})


def test_the_note_on_the_bag_has_one_spelling() -> None:
    info = BagInfo(agent="whorl 0.1.0", date="2026-11-27", case=CASE, payload_bytes=12, payload_files=3)
    assert parse_info(info.to_bytes()) == info
    for old, new in ((b"12.3", b"012.3"), (b"12.3", b"12"), (b"Bagging", b"bagging"), (b"\n", b"\r\n"), (b"5e", b"5E")):
        with pytest.raises(InputError, match=INFO):
            parse_info(info.to_bytes().replace(old, new))


def test_a_catalogue_that_leaves_out_adds_or_changes_a_file_is_refused() -> None:
    measured = {path: measure([content]) for path, content in FILES.items()}
    crate = write_crate(measured, case=CASE, built_at=AT)
    require_crate(crate, measured, case=CASE, built_at=AT)
    fewer = {path: one for path, one in measured.items() if path != "data/report.html"}
    more = measured | {"data/policy.txt": measure([b"x"])}
    changed = measured | {"data/report.html": measure([b"x"])}
    for files, why in (
        (fewer, "'report.html'.* found none"),
        (more, "'policy.txt'.* of no file"),
        (changed, "'report.html' that follows from it, found another"),
    ):
        with pytest.raises(InputError, match=why):
            require_crate(write_crate(files, case=CASE, built_at=AT), measured, case=CASE, built_at=AT)
    for other in (crate.replace(b"\n", b""), b"{}", b"[]", b'{"@graph":3}', b'{"@graph":[1,{"@id":2}]}', b"\xff"):
        with pytest.raises(InputError):
            require_crate(other, measured, case=CASE, built_at=AT)
    with pytest.raises(InputError, match="expected the catalogue as the format spells it"):
        require_crate(crate + b" ", measured, case=CASE, built_at=AT)


def test_only_the_digest_in_a_name_is_an_address() -> None:
    assert address_of(f"data/findings/{A}.json") == A
    assert address_of("data/registry/protocol.receipt.json") is None
    assert place_of(f"data/findings/{A}.json\n") is None


def test_the_specification_names_every_kind_of_file() -> None:
    text = (Path(__file__).parents[2] / "docs" / "specs" / "dossier.md").read_text()
    for place in PLACES:
        if place.kind != "crate":
            assert f"| {place.name} | {place.media} |" in text
