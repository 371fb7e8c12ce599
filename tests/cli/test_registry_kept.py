"""``whorl registry fsck``, ``backup`` and ``restore``: what is printed, and with which status a run ends."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Run = Callable[..., Result]


@pytest.fixture
def registry(run: Run, tmp_path: Path) -> Path:
    folder = tmp_path / "registry"
    whose = ("--origin", "bureau.example/log", "--name", "Harbour Bureau", "--jurisdiction", "NL")
    made = run("registry", "create", folder, *whose)
    assert made.exit_code == 0
    return folder


def test_a_sound_registry(run: Run, registry: Path) -> None:
    done = run("registry", "fsck", "--registry", registry, "--json", "--quiet")
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert (report["schema"], report["counted"]["entries"], report["problems"]) == ("whorl.registry-check/1", 3, [])
    shown = run("registry", "fsck", "--registry", registry, "--quiet").stdout
    assert "Entries       3\n" in shown
    assert "Status maps   1\n" in shown


def test_a_damaged_registry(run: Run, registry: Path) -> None:
    (registry / "log/state").write_text("nothing\n")
    assert run("registry", "key", "--key", registry / "keys/bureau.json").exit_code == 0
    done = run("registry", "fsck", "--registry", registry, "--quiet")
    assert done.exit_code == 1
    assert "restore the log from its newest backup" in done.stdout.replace("\n", " ")
    assert "problems were found; the first" in done.stderr.replace("\n       ", " ")


def test_there_and_back(run: Run, registry: Path, tmp_path: Path) -> None:
    backup, keys = tmp_path / "backup.tar", registry / "keys"
    done = run("registry", "backup", backup, "--registry", registry, "--quiet")
    assert done.exit_code == 0
    assert "Entries       3\n" in done.stdout
    assert run("registry", "backup", backup, "--registry", registry, "--quiet").exit_code == 2  # it is there already

    refused = run("registry", "restore", backup, tmp_path / "back", "--keys", keys, "--quiet")
    assert refused.exit_code == 2
    assert "--nobody-saw-more" in refused.stderr
    without_keys = run("registry", "restore", backup, tmp_path / "back", "--nobody-saw-more", "--quiet")
    assert (without_keys.exit_code, "--keys" in without_keys.stderr) == (2, True)

    done = run("registry", "restore", backup, tmp_path / "back", "--keys", keys, "--nobody-saw-more", "--quiet")
    assert done.exit_code == 0
    assert "new keys" in done.stdout.replace("\n", " ")
    assert run("registry", "fsck", "--registry", tmp_path / "back", "--quiet").exit_code == 0


def test_with_keys_and_to_another_database(run: Run, registry: Path, tmp_path: Path) -> None:
    backup, back = tmp_path / "backup.tar", tmp_path / "back"
    assert run("registry", "backup", backup, "--registry", registry, "--with-keys", "--quiet").exit_code == 0
    assert backup.stat().st_mode & 0o077 == 0
    place = f"sqlite:///{tmp_path}/elsewhere.sqlite"
    done = run("registry", "restore", backup, back, "--database", place, "--nobody-saw-more", "--quiet")
    assert done.exit_code == 0
    assert json.loads((back / "registry.json").read_text())["database"] == place
    assert not (back / "registry.sqlite").exists()
    assert run("registry", "fsck", "--registry", back, "--quiet").exit_code == 0


@pytest.mark.parametrize("command", [("fsck",), ("backup", "out.tar")])
def test_only_a_folder_on_this_machine(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    arguments = [tmp_path / one if one.endswith(".tar") else one for one in command]
    done = run("registry", *arguments, "--registry", "https://registry.example", "--quiet")
    assert done.exit_code == 2
    assert "found a URL" in done.stderr
