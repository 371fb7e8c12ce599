"""What counts as a model of a folder, and what is said of the rest."""

import shutil
from pathlib import Path

import pytest

from whorl.comparison.subjects import fingerprint_of
from whorl.core.errors import InputError
from whorl.core.progress import silent
from whorl.lineage.members import members_of_folder

MODELS = Path(__file__).parents[2] / "demo" / "models"


def test_sub_folders_and_fingerprints_are_models_and_notes_are_none(tmp_path: Path) -> None:
    shutil.copytree(MODELS / "base", tmp_path / "base")
    (tmp_path / "twin.whorl").write_bytes(fingerprint_of(MODELS / "twin", progress=silent).to_bytes())
    (tmp_path / "base.whorl").write_bytes(fingerprint_of(MODELS / "base", progress=silent).to_bytes())
    (tmp_path / "README.md").write_text("notes")
    (tmp_path / ".hidden").mkdir()
    members, unread = members_of_folder(tmp_path, progress=silent)
    assert [member.name for member in members] == ["base", "base.whorl", "twin"]
    assert [member.anatomy is not None for member in members] == [True, False, False]
    assert unread == []


def test_what_is_broken_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    shutil.copytree(MODELS / "base", tmp_path / "base")
    (tmp_path / "empty").mkdir()
    (tmp_path / "torn.whorl").write_bytes(b"torn")
    shutil.copytree(MODELS / "twin", tmp_path / "cut")
    weights = next((tmp_path / "cut").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:5000])
    members, unread = members_of_folder(tmp_path, progress=silent)
    assert [member.name for member in members] == ["base"]
    assert {item.name for item in unread} == {"empty", "torn.whorl", "cut"} or {item.name for item in unread} == {
        "empty",
        "torn",
        "cut",
    }
    assert all("expected" in item.problem for item in unread)


def test_one_checkpoint_is_not_a_set_of_models() -> None:
    with pytest.raises(InputError, match="found a checkpoint; name the folder above"):
        members_of_folder(MODELS / "base", progress=silent)


def test_a_folder_without_models_says_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InputError, match=r"expected sub-folders with checkpoints"):
        members_of_folder(tmp_path, progress=silent)
