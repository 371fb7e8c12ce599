"""People of a case on machines of their own: each has a folder, a key and settings, and all know one URL."""

import json
import os
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from served import Served, wait_for
from typer.testing import CliRunner, Result

from whorl.cli.main import app
from whorl.entries.keys import IssuerKey, encode_public, new_issuer_key, write_key_file
from whorl.registry.home import read_issuer_key

sys.path.append(str(Path(__file__).parents[1] / "cases"))

from small_case import model_at

ROLES = ("manager", "complainant", "respondent", "analyst", "replicator", "reviewer")
OTHERS = ("appeal_reviewer", "stranger")


@dataclass
class Person:
    """Somebody with a folder and settings that nobody else sees."""

    role: str
    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def new(cls, role: str, folder: Path) -> "Person":
        folder.mkdir()
        (folder / "key.json").write_bytes(write_key_file(new_issuer_key(os.urandom)))
        (folder / "key.json").chmod(0o600)
        return cls(role=role, folder=folder, env={"XDG_CONFIG_HOME": str(folder / "settings"), "COLUMNS": "200"})

    @property
    def key_file(self) -> Path:
        return self.folder / "key.json"

    @property
    def key(self) -> IssuerKey:
        return read_issuer_key(self.key_file)

    @property
    def id(self) -> str:
        return self.key.id.hex()

    @property
    def public(self) -> list[str]:
        return list(map(encode_public, self.key.public_keys))

    def run(self, *arguments: object) -> Result:
        """Any command of whorl, with this person's key in the environment."""
        env = {**self.env, "WHORL_KEY": str(self.key_file)}
        return CliRunner().invoke(app, [*map(str, arguments)], env=env)

    def do(self, *arguments: object, status: int = 0) -> dict[str, Any]:
        """A command of ``whorl case`` and the document that it prints."""
        done = self.run("case", *arguments, "--json")
        assert done.exit_code == status, done.stderr
        shown: dict[str, Any] = json.loads(done.stdout)
        return shown

    def file(self, name: str, document: object) -> Path:
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(document))
        return path

    def template(self, kind: str) -> Any:
        return json.loads(self.run("case", "template", kind).stdout)

    def local(self, url: str) -> Path:
        """Where this person's machine keeps what is theirs of a case."""
        return self.folder / "settings" / "whorl" / "cases" / url.rpartition("/")[2]


class People:
    """Everybody of a case, and a stranger."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.of = {role: Person.new(role, folder / role) for role in (*ROLES, *OTHERS)}

    def __getattr__(self, role: str) -> Person:
        try:
            return self.of[role]
        except KeyError:
            raise AttributeError(role) from None

    def opening(self, **changes: Any) -> Path:
        stated = self.manager.template("opening")
        stated["parties"] = [{"name": f"The {role}", "role": role, "keys": self.of[role].public} for role in ROLES]
        stated["questioned"]["name"], stated["reference"]["name"] = "suspect", "base"
        return self.manager.file("opening", stated | changes)

    def introduce(self, service: str) -> None:
        """The registry knows the manager's organisation, and nobody else's."""
        done = self.manager.run("registry", "introduce", "--registry", service, "--claimant", "Harbour Desk")
        assert done.exit_code == 0, done.stderr

    def open(self, service: str, **changes: Any) -> str:
        """A case at the service: its URL."""
        url = self.manager.do("new", service, "--opening", self.opening(**changes))["url"]
        assert isinstance(url, str)
        return url

    def line_up(self) -> Path:
        def one(name: str, model: str) -> dict[str, str]:
            return {"name": name, "path": str(model_at(model))}

        stated = self.manager.template("line-up") | {
            "questioned": one("suspect", "suspect"),
            "reference": one("base", "base"),
            "decoys": [one("stranger one", "twin"), one("stranger two", "passerby")],
            "positive_controls": [one("known copy", "base-q8.gguf")],
            "negative_controls": [one("known stranger", "stranger")],
            "draw": {"decoys": 2},
        }
        return self.manager.file("line-up", stated)

    def propose(self, url: str) -> None:
        both = self.manager.template("propositions")["propositions"]
        for role in ("complainant", "respondent"):
            person = self.of[role]
            own = {"propositions": [one for one in both if one["side"] == role]}
            assert person.do("propose", url, "--propositions", person.file("ours", own))["stage"] == "proposed"

    def freeze(self, url: str) -> None:
        protocol = self.manager.file("protocol", self.manager.template("protocol"))
        done = self.manager.do("freeze", url, "--protocol", protocol, "--line-up", self.line_up(), "--quiet")
        assert done["stage"] == "frozen"

    def until_unblinded(self, url: str) -> None:
        self.propose(url)
        self.freeze(url)
        assert self.manager.do("acquire", url, "--quiet")["stage"] == "acquiring"
        assert self.analyst.do("analyse", url, "--quiet")["stage"] == "analysing"
        assert self.manager.do("unblind", url)["stage"] == "unblinded"


def past_first_second(served: Served) -> None:
    """A service that has just begun takes nothing that was signed in its first second."""
    begun = served.service.began_at.replace(microsecond=0)
    wait_for(lambda: served.registry.now() >= begun + timedelta(seconds=1))
