"""The project as it was at a git revision; the only place that calls git."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from stackctl.core.finding import FailureError, Finding, FindingsError
from stackctl.project import Project

FOLDERS = ("inventory", "templates", "deploys")
"""What of a project says what hosts become."""

_SHORT = 12

_PLACES = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"})
"""Set where git runs stackctl as a hook; they are about where git ran, and the project may be elsewhere."""


@contextmanager
def at_revision(project: Project, revision: str) -> Iterator[Project]:
    """The project's files of a revision, in a private directory that goes when the block ends, however it ends.

    They are written by git's own checkout, so that line ends and filters are those of the working tree.
    FindingsError where the project is in no git repository or `revision` names no commit in it.
    """
    with TemporaryDirectory(prefix="stackctl-revision-") as folder:
        git = _Git(project.root, Path(folder))
        below = git.below()
        commit = git.commit(revision)
        tree = Path(folder) / "tree"
        git.write(commit, tree, revision)
        yield Project(tree / below)


def present(project: Project) -> str:
    """The commit that the project stands on, `+` behind it where files of it differ; empty where git has none."""
    with TemporaryDirectory(prefix="stackctl-revision-") as folder:
        git = _Git(project.root, Path(folder))
        try:
            commit = git.commit("HEAD")[:_SHORT]
            return f"{commit}+" if git.differs() else commit
        except (FindingsError, subprocess.CalledProcessError):
            return ""


class _Git:
    """Git in a project, with an index of its own: the user's is neither read nor written."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        kept = {name: value for name, value in os.environ.items() if name not in _PLACES}
        self.environment = {**kept, "GIT_INDEX_FILE": str(folder / "index"), "LC_ALL": "C"}

    def below(self) -> str:
        """The project's folder as seen from the top of its repository."""
        try:
            printed = self._run("rev-parse", "--show-prefix")
        except subprocess.CalledProcessError as error:
            what = "git finds no repository to read here"
            hint = "compare in a clone of the project's repository"
            raise FindingsError(Finding(str(self.root), what, hint, _words(error))) from error
        return os.fsdecode(printed).removesuffix("\n")

    def commit(self, revision: str) -> str:
        """The commit that a revision names."""
        try:
            printed = self._run("rev-parse", "--verify", f"{revision}^{{commit}}")
        except subprocess.CalledProcessError as error:
            what = f"`{revision}` names no commit of this repository"
            hint = "name a branch, tag or commit; what a shallow clone lacks is there after `git fetch`"
            raise FindingsError(Finding("--against", what, hint, _words(error))) from error
        return printed.decode().strip()

    def differs(self) -> bool:
        """Whether the project's folders hold anything else than their commit does."""
        self._run("read-tree", "HEAD")
        return bool(self._run("status", "--porcelain", "--", *FOLDERS))

    def write(self, commit: str, tree: Path, revision: str) -> None:
        """Put the project's folders of a commit below `tree`, under their paths in the repository."""
        try:
            self._run("read-tree", commit)
            names = self._run("ls-files", "-z", "--", *FOLDERS)
            self._run("checkout-index", "-q", "-z", "--stdin", f"--prefix={tree}/", given=names)
        except subprocess.CalledProcessError as error:
            hint = "the lines above are git's; `git fsck` tells whether the repository is whole"
            finding = Finding("git", f"cannot write the files of `{revision}`", hint, _words(error))
            raise FailureError(finding) from error

    def _run(self, *words: str, given: bytes = b"") -> bytes:
        # A hook that watches the index would take this one for the user's.
        vector: Sequence[str] = ("git", "-C", str(self.root), "-c", "core.hooksPath=/dev/null", *words)
        try:
            ended = subprocess.run(vector, input=given, capture_output=True, check=True, env=self.environment)
        except FileNotFoundError as error:
            what = "is not installed, and it alone knows what the project was"
            raise FailureError(Finding("git", what, "install git")) from error
        return ended.stdout


def _words(error: subprocess.CalledProcessError) -> tuple[str, ...]:
    return tuple(error.stderr.decode(errors="replace").strip().splitlines())
