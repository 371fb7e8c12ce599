"""``whorl dossier``: a stranger's way from a file to an exit status, with the base install alone."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sample_case import SampleCase, open_case, whole_case, write_folder
from typer.testing import CliRunner, Result

from whorl.cases.store import create_store
from whorl.cli.dossier import dossier
from whorl.entries.keys import encode_public, write_key_file

CASE = whole_case()
ID = CASE.kept[0].record.hash.hex()
ISSUER = encode_public(CASE.key("manager").public_keys[0])
BLOCKED = ("scipy", "sqlalchemy", "alembic", "jinja2", "httpx2", "fastapi", "torch", "transformers", "gguf", "pyarrow")
Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("WHORL_KEY", "WHORL_POLICY"):
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments: CliRunner().invoke(dossier, [str(argument) for argument in arguments])


@pytest.fixture
def case(tmp_path: Path) -> Path:
    write_folder(CASE, tmp_path / "case", key=tmp_path / "key.json")
    return tmp_path / "case"


@pytest.fixture
def file(run: Run, case: Path, tmp_path: Path) -> Path:
    out = tmp_path / "x.dossier"
    assert run("build", case, "-o", out, "--key", tmp_path / "key.json").exit_code == 0
    return out


def test_build_says_what_it_wrote_and_writes_the_same_again(run: Run, case: Path, file: Path, tmp_path: Path) -> None:
    done = run("build", case, "-o", tmp_path / "y.dossier", "--key", tmp_path / "key.json", "--json")
    assert (tmp_path / "y.dossier").read_bytes() == file.read_bytes()
    built = json.loads(done.stdout)
    assert (built["schema"], built["bytes"]) == ("whorl.built-dossier/1", file.stat().st_size)


def test_a_case_as_its_commands_keep_it_gives_the_same_dossier_as_its_files(run: Run, tmp_path: Path) -> None:
    case = whole_case(receipt=b"{}")
    write_folder(case, tmp_path / "laid out", key=tmp_path / "key.json")
    store = create_store(tmp_path / "case")
    for one in case.kept:
        store.append(lambda _, one=one: one)  # type: ignore[misc]
    for content in case.files.values():
        store.put(content)
    (tmp_path / "report.html").write_bytes(case.files["data/report.html"])
    (tmp_path / "policy.txt").write_bytes(case.files["data/policy.txt"])
    added = [f"--add={name}={tmp_path / name}" for name in ("report.html", "policy.txt")]
    for folder, more in (("laid out", []), ("case", added)):
        done = run("build", tmp_path / folder, "-o", tmp_path / f"{folder}.x", "--key", tmp_path / "key.json", *more)
        assert done.exit_code == 0, done.stderr
    assert (tmp_path / "case.x").read_bytes() == (tmp_path / "laid out.x").read_bytes()


def test_an_unpacked_dossier_is_built_again(run: Run, file: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path)
    done = run("build", tmp_path / "dossier" / "data", "-o", tmp_path / "again", "--key", tmp_path / "key.json")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "again").read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    "add", ["notes.txt=FILE", "custody.jsonl=FILE", "report.html=FILE", "policy.txt", "report.pdf=x"]
)
def test_only_what_no_event_has_to_name_can_be_added(run: Run, case: Path, tmp_path: Path, add: str) -> None:
    text = add.replace("FILE", str(tmp_path / "key.json"))
    done = run("build", case, "-o", tmp_path / "new", "--key", tmp_path / "key.json", "--add", text)
    assert done.exit_code == 2
    assert not (tmp_path / "new").exists()


def test_two_keys_sign_and_the_bytes_are_still_the_same(run: Run, tmp_path: Path) -> None:
    case = SampleCase(post_quantum=True)
    open_case(case)
    write_folder(case, tmp_path / "case", key=tmp_path / "key.json")
    for name in ("1", "2"):
        done = run("build", tmp_path / "case", "-o", tmp_path / name, "--key", tmp_path / "key.json")
        assert done.exit_code == 0, done.stderr
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    assert run("verify", tmp_path / "1").exit_code == 0


def test_verify_says_what_holds_and_that_no_time_is_attested(run: Run, file: Path) -> None:
    done = run("verify", file, "--case", ID, "--key", ISSUER)
    assert done.exit_code == 0
    said = " ".join(done.stdout.split())
    for text in (
        "Holds as far as it was checked; step 10 could not be",
        "Verdict supports shared weights, not who had them first",
        "no receipt is in the dossier",
        "the respondent answered",
        "the respondent first signed event 2 and last event 17",
        ID,
        ISSUER,
    ):
        assert text in said
    assert "No case and no key was given" not in done.stdout
    assert "No case and no key was given" in run("verify", file).stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_verify_says_what_was_not_checked(run: Run, tmp_path: Path) -> None:
    whole_case(receipt=b"{}").build(tmp_path / "x.dossier")
    done = run("verify", tmp_path / "x.dossier")
    assert done.exit_code == 0
    assert "Holds as far as it was checked; step 10 could not be" in done.stdout
    assert "What was not checked is not claimed to hold." in done.stdout
    assert "Every step holds" not in done.stdout


def test_json_says_the_same(run: Run, file: Path) -> None:
    found = json.loads(run("verify", file, "--json").stdout)
    assert (found["schema"], found["case"], found["issuer"]) == ("whorl.dossier-verification/1", ID, ISSUER)
    assert found["failed"] == []
    assert [step["number"] for step in found["steps"]] == list(range(1, 12))
    assert (found["verdict"], found["void"], found["hearing"]) == ("supports_shared_weights", False, "answered")
    assert found["signed"] == {"complainant": {"first": 1, "last": 1}, "respondent": {"first": 2, "last": 17}}
    assert found["not_checked"] == [step["number"] for step in found["steps"] if step["outcome"] == "not_checked"]


def test_json_claims_no_verdict_of_a_dossier_that_does_not_hold(run: Run, file: Path) -> None:
    found = json.loads(run("verify", file, "--case", "ab" * 32, "--json").stdout)
    assert (found["failed"], found["verdict"]) == ([5], None)


def test_what_does_not_hold_exits_with_1_and_names_the_step(run: Run, file: Path) -> None:
    done = run("verify", file, "--case", "ab" * 32)
    assert done.exit_code == 1
    assert "Refused: step 5 failed" in done.stdout
    assert "step 5 (custody) failed: expected a dossier of the case abab" in done.stderr
    file.write_bytes(file.read_bytes()[:-1])
    done = run("verify", file, "--json")
    assert (done.exit_code, json.loads(done.stdout)["failed"]) == (1, [1])


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "missing"),
        ("verify", "FILE", "--case", "5E"),
        ("verify", "FILE", "--key", "rsa:AA"),
        ("verify", "FILE", "--policy", "missing"),
        ("verify", "FILE", "--policy", "FILE"),
        ("show", "missing"),
        ("show", "CASE"),
        ("build", "missing", "-o", "new"),
        ("build", "CASE", "-o", "FILE"),
        ("build", "CASE", "-o", "CASE/new"),
        ("build", "EMPTY", "-o", "new"),
    ],
)
def test_bad_input_exits_with_2(
    run: Run, case: Path, file: Path, tmp_path: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    places = {"FILE": str(file), "CASE": str(case), "EMPTY": "empty", "CASE/new": str(case / "new")}
    done = run(
        *(places.get(one, one) for one in arguments), *(["--key", "key.json"] if arguments[0] == "build" else [])
    )
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith("whorl: ")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("what", ["notes.txt", "exhibits/" + "ab" * 32, "report.pdf", "a/b/c/deep.json"])
def test_a_folder_with_something_else_in_it_is_not_built(run: Run, case: Path, tmp_path: Path, what: str) -> None:
    path = case / what
    path.parent.mkdir(parents=True, exist_ok=True)
    if what in ("notes.txt", "a/b/c/deep.json"):
        path.write_bytes(b"x")
    else:
        path.symlink_to(case / "report.html")
    done = run("build", case, "-o", tmp_path / "new", "--key", tmp_path / "key.json")
    assert done.exit_code == 2
    assert "expected only files that the format names" in done.stderr or "expected a plain file" in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_case_that_would_not_hold_is_not_built(run: Run, case: Path, tmp_path: Path) -> None:
    next((case / "findings").iterdir()).unlink()
    before = sorted(tmp_path.rglob("*"))
    done = run("build", case, "-o", tmp_path / "new", "--key", tmp_path / "key.json")
    assert done.exit_code == 1
    assert "nothing was written" in done.stderr
    assert "step 7 (completeness) failed" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_nobody_but_the_manager_builds(run: Run, case: Path, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_bytes(write_key_file(CASE.key("analyst")))
    (tmp_path / "other.json").chmod(0o600)
    done = run("build", case, "-o", tmp_path / "new", "--key", tmp_path / "other.json")
    assert done.exit_code == 1
    assert "signed by the manager of the case" in done.stderr


def test_show_says_what_the_file_says_of_itself(run: Run, file: Path) -> None:
    done = run("show", file)
    assert done.exit_code == 0
    for text in ("Origin of lumen-1 (not checked)", "Northwind Labs", "unblinded, by manager", "5 finding"):
        assert text in done.stdout
    shown = json.loads(run("show", file, "--json").stdout)
    assert (shown["checked"], shown["case"], len(shown["events"])) == (False, ID, len(CASE.kept))


def test_hostile_names_are_shown_without_their_controls(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.dossier"
    path.write_bytes(b"PK\x03\x04\x1b[2J" + bytes(60))
    for done in (run("verify", path), run("show", path)):
        assert "\x1b" not in done.output


def test_verify_needs_the_base_install_alone(file: Path) -> None:
    code = (
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {BLOCKED}:\n"
        "            raise ModuleNotFoundError(f'{name} is not in the base install', name=name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        "from whorl.cli.dossier import dossier\n"
        "dossier()\n"
    )
    for command in ("verify", "show"):
        done = subprocess.run(
            [sys.executable, "-c", code, command, file, "--json"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["case"] == ID
