from pathlib import Path

from stackctl.lab.wheels import source_flags


def test_uv_is_told_what_pip_is_configured_to_do(tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text(f"[global]\nindex-url = https://index.example/simple\nfind-links = {tmp_path}\n")

    assert source_flags({}, [str(file)]) == [
        "--default-index=https://index.example/simple",
        f"--find-links={tmp_path}",
    ]


def test_a_variable_wins_over_a_file(tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nextra-index-url = https://a.example https://b.example\n")

    flags = source_flags({"PIP_EXTRA_INDEX_URL": "https://c.example"}, [str(file)])

    assert flags == ["--index=https://c.example"]


def test_a_directory_that_is_not_there_is_left_out() -> None:
    assert source_flags({"PIP_FIND_LINKS": "/nowhere/at/all"}, []) == []
