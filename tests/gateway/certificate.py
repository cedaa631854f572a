"""Certificates of a test's own."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """PEM files; the certificate is its own authority."""

    file: Path
    key: Path


def certificate(folder: Path, name: str = "gateway", alternative: str = "IP:127.0.0.1") -> Certificate:
    """A certificate for an address or a name of this machine."""
    made = Certificate(folder / f"{name}.crt", folder / f"{name}.key")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-subj", f"/CN={name}", "-addext", f"subjectAltName={alternative}", "-days", "2"]
    words += ["-keyout", str(made.key), "-out", str(made.file)]
    subprocess.run(words, check=True, capture_output=True)
    return made
