"""A time-stamp authority of our own: its certificates by `cryptography`, its answers by the real ``openssl ts``."""

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CONFIG = """
[tsa]
default_tsa = tsa_config
[tsa_config]
serial = {folder}/serial
signer_cert = {folder}/signer.pem
signer_key = {folder}/signer.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
"""


@dataclass
class StampingAuthority:
    """One authority in a folder of its own."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, name: str) -> "StampingAuthority":
        folder.mkdir()
        now = datetime.now(UTC)
        root_key, signer_key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
        root_name, signer_name = (
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} {part}")]) for part in ("root", "signer")
        )

        def certificate(subject: x509.Name, key: rsa.RSAPrivateKey, *, is_root: bool) -> x509.Certificate:
            builder = (
                x509.CertificateBuilder()
                .subject_name(subject)
                .issuer_name(root_name)
                .public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - timedelta(days=1))
                .not_valid_after(now + timedelta(days=10))
                .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                .add_extension(
                    x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False
                )
            )
            if not is_root:
                usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
                builder = builder.add_extension(usage, critical=True)
            return builder.sign(root_key, hashes.SHA256())

        pem = serialization.Encoding.PEM
        (folder / "root.pem").write_bytes(certificate(root_name, root_key, is_root=True).public_bytes(pem))
        (folder / "signer.pem").write_bytes(certificate(signer_name, signer_key, is_root=False).public_bytes(pem))
        (folder / "signer.key").write_bytes(
            signer_key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
        )
        (folder / "serial").write_text("01\n")
        (folder / "tsa.conf").write_text(_CONFIG.format(folder=folder))
        return cls(folder)

    @property
    def root_pem(self) -> bytes:
        return (self.folder / "root.pem").read_bytes()

    def stamp(self, message: bytes) -> bytes:
        data, query, reply = (self.folder / name for name in ("data", "query.tsq", "reply.tsr"))
        data.write_bytes(message)
        self._openssl("-query", "-data", data, "-sha256", "-cert", "-out", query)
        self._openssl(
            "-reply", "-queryfile", query, "-out", reply, "-config", self.folder / "tsa.conf", "-section", "tsa_config"
        )
        return reply.read_bytes()

    def _openssl(self, *arguments: object) -> None:
        subprocess.run(["openssl", "ts", *map(str, arguments)], check=True, capture_output=True, timeout=30)
