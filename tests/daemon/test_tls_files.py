"""A certificate or key that cannot be used is named, before gRPC is asked."""

import subprocess
from pathlib import Path

import pytest

from sockwarden.daemon import tls
from sockwarden.daemon.config import Address


def make_pair(directory: Path, name: str) -> tuple[str, str]:
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", f"/CN={name}", "-days", "2", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return str(certificate), str(key)


def test_good_files_are_read_whole(tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path, "a")
    found = tls.load(certificate, certificate, key)
    assert found.ca == found.certificate == Path(certificate).read_bytes()
    assert found.key == Path(key).read_bytes()


def test_each_bad_file_is_named(tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path, "a")
    _, other = make_pair(tmp_path, "b")
    broken = tmp_path / "broken.pem"
    lines = Path(certificate).read_text().splitlines()
    broken.write_text("\n".join([lines[0], "AAAA", *lines[3:]]))
    for files, expected in [
        ((f"{tmp_path}/none", certificate, key), "none: cannot read the CA certificate"),
        ((key, certificate, key), "a.key: not a CA certificate in PEM form"),
        ((certificate, str(broken), key), "broken.pem: not a certificate in PEM form"),
        ((certificate, certificate, certificate), "a.pem: not a private key in PEM form"),
        ((certificate, certificate, other), "b.key: the key does not belong to"),
    ]:
        with pytest.raises(tls.TlsError) as error:
            tls.load(*files)
        assert expected in str(error.value)
        assert len(str(error.value).splitlines()) == 1


def test_plaintext_beyond_this_host_is_refused() -> None:
    tls.refuse_remote(Address("[::1]:1"), "x")
    with pytest.raises(tls.TlsError, match="neither loopback nor a unix socket"):
        tls.refuse_remote(Address("10.0.0.1:1"), "x")
