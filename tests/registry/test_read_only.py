"""A registry on a disk that may only be read: nothing there has to be written to read it."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from test_leads import Lab

from whorl.registry.local import create_registry

_READ: Final = """
import sys
from pathlib import Path
import numpy as np
from whorl.registry.checking import check_folder
from whorl.registry.leads import LeadSearch
from whorl.registry.local import open_registry
from whorl.registry.registry_reader import read_registry
folder = Path(sys.argv[1])
report = check_folder(folder)
assert not report.problems, report.problems
assert report.counted["entries"] == 9, report.counted
with read_registry(folder) as registry:
    with LeadSearch(registry.database, registry.home.vectors, now=registry.now) as search:
        (lead,) = search.find(np.arange(1, 17, dtype=np.int8), scheme="test vectors/1", top=5)
        print(lead.name)
try:
    open_registry(folder)
except Exception as error:
    print(type(error).__name__, error)
"""


def _read_only(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `_READ` where the folder is mounted read-only, in a mount namespace of its own."""
    mount = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && exec "
    command = f"{mount}{sys.executable} -c '{_READ}' {folder}"
    return subprocess.run(["unshare", "-rm", "sh", "-c", command], capture_output=True, text=True, timeout=120)


def _can_mount(tmp_path: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(
        ["unshare", "-rm", "mount", "--bind", tmp_path, tmp_path], capture_output=True, timeout=30, check=False
    )
    return tried.returncode == 0


def test_a_read_only_registry_is_read_and_checked(tmp_path: Path) -> None:
    if not _can_mount(tmp_path):
        pytest.skip("nothing can be mounted here")
    folder = tmp_path / "registry"
    with create_registry(folder, origin="bureau.example/one", bureau_name="Harbour Bureau", jurisdiction="NL") as made:
        Lab(made, 1, "Northwind Labs").fingerprint("lumen", range(1, 17))
    before = sorted((path.relative_to(folder), path.stat().st_mtime_ns) for path in folder.rglob("*"))
    done = _read_only(folder)
    assert done.returncode == 0, done.stderr
    assert "lumen" in done.stdout
    assert "RegistryError" in done.stdout
    assert sorted((path.relative_to(folder), path.stat().st_mtime_ns) for path in folder.rglob("*")) == before
