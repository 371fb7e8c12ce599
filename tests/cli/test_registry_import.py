"""``whorl registry import``: what is printed, and with which status a run ends."""

import base64
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import Result

sys.path.insert(0, str(Path(__file__).parents[1] / "entries"))  # small_log

from small_log import counting_bytes

from whorl.entries.composing import compose
from whorl.entries.keys import new_issuer_key
from whorl.entries.kinds import Body, Model, Organisation
from whorl.entries.statement import open_entry
from whorl.registry.local import create_registry, open_registry
from whorl.registry.public_keys import issuer_public

Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_registry(
        tmp_path / "north",
        origin="bureau.example/north",
        bureau_name="Harbour Bureau",
        jurisdiction="NL",
        random_bytes=counting_bytes(1),
    ).close()
    return tmp_path / "north"


def catalogue() -> Iterator[bytes]:
    """Lines of an organisation and two models."""
    random = counting_bytes(1000)
    key = new_issuer_key(random)
    root = issuer_public(key)
    bodies: list[Body] = [Organisation(name="Northwind Labs", jurisdiction="NL", roots=(root,))]
    bodies += [Model(publisher="Northwind Labs", name=f"lumen-{number}") for number in range(2)]
    chain = None
    for body in bodies:
        statement = compose(
            body, log="bureau.example/north", issuer=key.id, chain=chain, now=datetime(2026, 1, 1, tzinfo=UTC)
        )
        envelope, salt = statement.sign(key), random(32)
        chain = statement.sequence, open_entry(envelope).leaf(salt).hash
        yield json.dumps({"envelope": base64.b64encode(envelope).decode(), "salt": salt.hex()}).encode()


def test_a_catalogue_goes_in_once(run: Run, folder: Path, tmp_path: Path) -> None:
    file, blobs = tmp_path / "catalogue.jsonl", tmp_path / "blobs"
    file.write_bytes(b"\n".join(catalogue()))
    blobs.mkdir()
    (blobs / "fingerprint").write_bytes(b"a fingerprint")
    command = ("registry", "import", file, "--registry", folder, "--quiet")
    done = run(*command, "--blobs", blobs)
    assert done.exit_code == 0
    assert "Entered       3\n" in done.stdout
    assert "Blobs stored  1\n" in done.stdout
    again = json.loads(run(*command, "--json").stdout)
    assert again == {
        "schema": "whorl.registry-import/1",
        "blobs": 0,
        "entered": 0,
        "known": 3,
        "refused": 0,
        "problems": [],
    }
    assert run("registry", "fsck", "--registry", folder, "--quiet").exit_code == 0


def test_a_bad_line_is_named_and_the_run_does_not_look_whole(run: Run, folder: Path, tmp_path: Path) -> None:
    first, second, _ = catalogue()
    file = tmp_path / "catalogue.jsonl"
    file.write_bytes(b"\n".join([first, b"{\x1b[2J", second, second[:90]]))
    done = run("registry", "import", file, "--registry", folder, "--quiet")
    assert done.exit_code == 2
    assert [line.partition(":")[0] for line in done.stdout.splitlines()[:2]] == ["line 2", "line 4"]
    assert "\x1b" not in done.stdout + done.stderr
    assert "2 lines were not entered" in done.stderr.replace("\n       ", " ")
    report = json.loads(run("registry", "import", file, "--registry", folder, "--quiet", "--json").stdout)
    assert (report["known"], report["refused"], [one["line"] for one in report["problems"]]) == (2, 2, [2, 4])


def test_where_nothing_can_be_imported(run: Run, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.jsonl"
    file.write_bytes(next(catalogue()))
    for arguments, words in (
        ((tmp_path / "nothing", "--registry", folder), "found nothing there"),
        ((tmp_path, "--registry", folder), "found a folder"),
        ((file, "--registry", "https://registry.example"), "found a URL"),
        ((file, "--registry", tmp_path / "nowhere"), "found nothing there"),
        ((file, "--registry", folder, "--blobs", tmp_path / "none"), "expected a folder of blobs"),
    ):
        done = run("registry", "import", *arguments, "--quiet")
        assert done.exit_code == 2
        assert words in done.stderr.replace("\n       ", " ")
    with open_registry(folder):
        done = run("registry", "import", file, "--registry", folder, "--quiet")
    assert done.exit_code == 2
    assert "another process" in done.stderr.replace("\n       ", " ")
