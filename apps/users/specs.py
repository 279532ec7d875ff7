"""A public SSH key: read strictly and written anew, so that nothing else rides along."""

from dataclasses import dataclass

import asyncssh

from apps.users.errors import BadPublicKey

KINDS = frozenset(
    {
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "ssh-rsa",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    }
)
SMALLEST_RSA = 2048
LARGEST_TEXT = 16_384

LONGEST_LIST_NAME, LONGEST_LIST_QUERY = 40, 1000  # of a saved view of a list


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One line as `authorized_keys` wants it, without options or comment."""

    kind: str
    line: str
    fingerprint: str
    comment: str


def parse_public_key(text: str) -> PublicKey:
    """The key in the text; raises BadPublicKey with a sentence its owner can act on."""
    stripped = text.strip()
    if "PRIVATE KEY" in stripped:
        raise BadPublicKey(
            "This is a private key. Keep it to yourself and paste the file that ends in .pub.",
            field="public_key",
        )
    if not stripped or len(stripped) > LARGEST_TEXT or "\n" in stripped or not stripped.isprintable():
        raise BadPublicKey("Paste one public key, on one line.", field="public_key")
    kind, _space, rest = stripped.partition(" ")
    if kind not in KINDS:
        raise BadPublicKey(
            "The line must begin with the kind of key: ssh-ed25519, ecdsa-sha2-…, ssh-rsa or sk-….",
            field="public_key",
        )
    blob, _space, comment = rest.strip().partition(" ")
    return _read(kind, blob, comment.strip())


def _read(kind: str, blob: str, comment: str) -> PublicKey:
    try:
        key = asyncssh.import_public_key(f"{kind} {blob}")
        size = getattr(key.pyca_key, "key_size", None) if kind == "ssh-rsa" else None
        line = key.export_public_key("openssh").decode().strip()
    except (asyncssh.KeyImportError, asyncssh.KeyExportError, ValueError) as error:
        raise BadPublicKey("This is not a complete public key.", field="public_key") from error
    if line.split(" ")[0] != kind:
        raise BadPublicKey("The key is not of the kind it claims to be.", field="public_key")
    if size is not None and size < SMALLEST_RSA:
        raise BadPublicKey(
            f"RSA keys need at least {SMALLEST_RSA} bits; this one has {size}.", field="public_key"
        )
    return PublicKey(kind, line, key.get_fingerprint(), comment)
