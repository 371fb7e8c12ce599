"""A whole case of the demo at a bureau: people on folders of their own who have one URL in common."""

import json
from pathlib import Path

from case_desks import People, past_first_second
from served import serving, serving_process

from whorl.cases.store import FolderStore
from whorl.dossiers.custody import write_chain


def test_people_who_share_a_url_lead_a_case_to_a_dossier_that_holds(folder: Path, tmp_path: Path) -> None:
    people = People(tmp_path / "people")
    with serving_process(folder) as (service, _):
        people.introduce(service)
        url = people.open(service)
        people.propose(url)
        people.freeze(url)
        secret = people.manager.local(url) / "line-up.json"
        assert secret.stat().st_mode & 0o777 == 0o600
        early = people.analyst.run("case", "analyse", url, "--quiet")
        assert (early.exit_code, "rule 6" in early.stderr) == (1, True)
        assert people.manager.do("acquire", url, "--quiet")["stage"] == "acquiring"
    # Killed and begun anew: nothing that was acknowledged is lost.
    with serving_process(folder, "--port", service.rpartition(":")[2]):
        assert people.analyst.do("analyse", url, "--quiet")["stage"] == "analysing"
        assert "known copy" not in people.respondent.run("case", "show", url, "--json").stdout
        held = folder / "cases" / url.rpartition("/")[2]
        everything = b"".join(file.read_bytes() for file in held.rglob("*") if file.is_file())
        assert json.loads(secret.read_bytes())["salt"].encode() not in everything
        assert b"known copy" not in everything
        assert people.manager.do("unblind", url)["stage"] == "unblinded"
        hear_and_decide(people, url)

        dossier, again, page = tmp_path / "case.whorl", tmp_path / "again.whorl", tmp_path / "report.html"
        built = people.manager.run("dossier", "build", url, "-o", dossier)
        assert built.exit_code == 0, built.stderr
        assert people.manager.run("dossier", "build", url, "-o", again).exit_code == 0
        assert dossier.read_bytes() == again.read_bytes()
        done = people.complainant.run("case", "report", url, "-o", page)
        assert (done.exit_code, "<html" in page.read_text()) == (0, True), done.stderr
        assert people.complainant.do("export", url, "--format", "case-jsonld", "-o", tmp_path / "case.json")
    checked = people.stranger.run("dossier", "verify", dossier, "--case", held.name)
    assert checked.exit_code == 0, checked.stdout + checked.stderr
    assert write_chain(FolderStore(held).kept()) in dossier.read_bytes()  # files of a dossier are stored as they are


def hear_and_decide(people: People, url: str) -> None:
    """From the reply to the decision on an appeal."""
    log = people.respondent.folder / "training.log"
    log.write_text("step 1 loss 5.3\n")
    people.respondent.do("acquire", url, "--document", log, "--title", "Training log", "--how", "our own")
    people.respondent.do("respond", url, "--statement", "We trained Lark ourselves.", "--exhibit", "D-1")
    assert people.replicator.do("replicate", url, "--quiet")["stage"] == "replicated"
    reviewer, manager, judge = people.reviewer, people.manager, people.appeal_reviewer
    reviewer.do("review", url, "--checklist", reviewer.file("list", reviewer.template("checklist")))
    remarks = people.analyst.file("remarks", {"limitations": ["Both models are small."]})
    assert people.analyst.do("opinion", url, "--remarks", remarks)["stage"] == "opined"
    manager.do("close", url, "--outcome", "completed", "--reasons", "The opinion was issued.")
    people.respondent.do("appeal", url, "--ground", "method", "--text", "No model like ours is in the population.")
    assert judge.run("case", "show", url).exit_code == 2  # nobody named them yet
    public = [part for key in judge.public for part in ("--public", key)]
    manager.do("join", url, "--name", "The judge", "--role", "appeal_reviewer", *public)
    assert judge.do("decide", url, "--result", "upheld", "--reasons", "It has three.")["stage"] == "decided"


def test_an_annulled_case_is_erased_at_the_bureau(folder: Path, tmp_path: Path) -> None:
    people = People(tmp_path / "people")
    with serving(folder) as served:
        past_first_second(served)
        people.introduce(served.url)
        url = people.open(served.url)
        held = folder / "cases" / url.rpartition("/")[2]
        people.propose(url)
        people.manager.do("close", url, "--outcome", "withdrawn", "--reasons", "They settled.")
        assert people.manager.do("expunge", url, "--ground", "withdrawal")["stage"] == "expunged"
        everything = b"".join(file.read_bytes() for file in held.rglob("*") if file.is_file())
        assert b"Lark" not in everything
        assert people.manager.do("show", url)["title"] is None
        gone = people.respondent.run("case", "show", url)  # whose key nothing names any more
        assert (gone.exit_code, "found none" in gone.stderr) == (2, True)
    with serving(folder) as served:
        past_first_second(served)
        assert people.manager.run("case", "show", f"{served.url}/cases/{held.name}").exit_code == 0


def test_a_check_of_the_registry_reads_its_cases_and_a_backup_says_that_it_holds_none(
    folder: Path, tmp_path: Path
) -> None:
    people = People(tmp_path / "people")
    with serving_process(folder) as (service, _):
        people.introduce(service)
        url = people.open(service)
        people.propose(url)
        people.freeze(url)
    fsck = ("registry", "fsck", "--registry", folder, "--json", "--quiet")
    whole = people.manager.run(*fsck)
    assert whole.exit_code == 0, whole.stderr
    assert json.loads(whole.stdout)["counted"]["cases"] == 1
    backed = people.manager.run("registry", "backup", tmp_path / "backup.tar", "--registry", folder, "--quiet")
    assert (backed.exit_code, "1 cases of this bureau are not in it" in backed.stderr) == (0, True)
    held = folder / "cases" / url.rpartition("/")[2]
    (population,) = (one for one in (held / "exhibits").rglob("*") if one.is_file())
    population.chmod(0o600)
    population.write_bytes(population.read_bytes()[:-1] + b" ")
    damaged = people.manager.run(*fsck)
    assert damaged.exit_code == 1
    assert any(problem.startswith(f"case {held.name}") for problem in json.loads(damaged.stdout)["problems"])
