"""What those get who install stackctl instead of cloning it."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_carries_the_stock_deploys_and_templates_inside_the_package(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    stock = [
        path.relative_to(ROOT) for name in ("deploys", "templates") for path in (ROOT / name).rglob("*.*")
    ]
    wanted = {f"stackctl/stock/{path.as_posix()}" for path in stock if "__pycache__" not in path.parts}
    assert wanted <= names
    assert {name.partition("/")[0] for name in names} == {"stackctl", "stackctl-0.1.0.dist-info"}
