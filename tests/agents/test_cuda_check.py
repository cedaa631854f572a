"""The program that adds numbers on a GPU, against a library that only counts its calls."""

import ctypes
import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from stackctl.agents import cuda_check


class Library:
    """Stands for libcuda: every call works unless told otherwise; the launch adds in the place of a GPU."""

    def __init__(self, *, fails: dict[str, int] | None = None, adds: bool = True) -> None:
        self.fails = fails or {}
        self.adds = adds
        self.memory: dict[int, Any] = {}

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            if name in self.fails:
                return self.fails[name]
            if (own := vars(Library).get(f"_{name}")) is not None:
                own(self, *arguments)
            return 0

        return call

    def _cuDeviceGetName(self, buffer: Any, _size: int, _device: Any) -> None:  # noqa: N802 - the library's names
        buffer.value = b"NVIDIA Test 1"

    def _cuMemAlloc_v2(self, place: Any, _size: Any) -> None:  # noqa: N802
        place._obj.value = len(self.memory) + 1
        self.memory[len(self.memory) + 1] = None

    def _cuMemcpyHtoD_v2(self, place: Any, vector: Any, _size: Any) -> None:  # noqa: N802
        self.memory[place.value] = list(vector)

    def _cuLaunchKernel(self, *arguments: Any) -> None:  # noqa: N802
        sum_, other, count = (
            ctypes.cast(arguments[9][i], ctypes.POINTER(kind)).contents.value
            for i, kind in enumerate((ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint32))
        )
        if self.adds:
            pairs = zip(self.memory[sum_], self.memory[other], strict=True)
            self.memory[sum_] = [left + right for left, right in pairs][:count]

    def _cuMemcpyDtoH_v2(self, vector: Any, place: Any, _size: Any) -> None:  # noqa: N802
        vector[:] = self.memory[place.value]


def checked(library: Library) -> str:
    with patch("ctypes.CDLL", lambda _: library):
        return cuda_check.check()


def test_right_sums_give_the_cards_name() -> None:
    assert checked(Library()) == "NVIDIA Test 1"


def test_wrong_sums_are_told() -> None:
    with pytest.raises(RuntimeError, match="the GPU added wrongly"):
        checked(Library(adds=False))


@pytest.mark.parametrize(("call", "status"), [("cuInit", 802), ("cuDevicePrimaryCtxRetain", 2)])
def test_the_call_that_fails_is_named_with_its_error(call: str, status: int) -> None:
    with pytest.raises(RuntimeError, match=f"{call} failed with CUDA error {status}"):
        checked(Library(fails={call: status}))


def test_it_needs_nothing_but_the_standard_library() -> None:
    text = Path(cuda_check.__file__).read_text()
    imports = {line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))}

    assert imports == {"ctypes", "sys", "typing"}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a compiled stand-in for the library."""
    folder = tmp_path_factory.mktemp("cuda")
    source = Path(__file__).with_name("libcuda.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "libcuda.so.1", source], check=True)
    return folder


def piped(**environment: str) -> "subprocess.CompletedProcess[str]":
    """The program as a container runs it, from standard input."""
    return subprocess.run(
        ["python3", "-"],
        input=Path(cuda_check.__file__).read_text(),
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("environment", "status", "said"),
    [
        ({}, 0, "passed NVIDIA Test 1\n"),
        ({"ADDS_WRONGLY": "1"}, 1, "the GPU added wrongly\n"),
        ({"OUT_OF_MEMORY": "1"}, 1, "cuMemAlloc_v2 failed with CUDA error 2\n"),
    ],
)
def test_against_a_compiled_library_arguments_have_the_right_widths(
    library: Path, environment: dict[str, str], status: int, said: str
) -> None:
    done = piped(LD_LIBRARY_PATH=str(library), **environment)

    assert (done.returncode, done.stdout, done.stderr) == (status, said, "")


def test_without_the_library_it_says_so() -> None:
    done = piped(LD_LIBRARY_PATH="/nonexistent")

    assert done.returncode == 1
    assert done.stdout.startswith("libcuda.so.1: cannot open shared object file")
