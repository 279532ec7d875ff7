"""What a machine is told at its first boot: NoCloud data, dumped as JSON (which is YAML), on a small ISO."""

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from apps.drivers.base import MachineSpec
from apps.drivers.errors import NoCapacity, Rejected, Transient

HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
OURS = ("hostname", "users", "ssh_keys", "ssh_deletekeys", "ssh_pwauth", "disable_root")


def new_host_key() -> tuple[str, str]:
    """A fresh SSH host key: private as OpenSSH PEM, public as one line."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return private, public


def hostname_of(spec: MachineSpec) -> str:
    """What the machine calls itself."""
    wanted = spec.hostname or spec.name.replace("_", "-")
    if not HOSTNAME.fullmatch(wanted):
        raise Rejected("The host name is not valid.", detail=f"host name {wanted!r}")
    return wanted.lower()


def user_data(spec: MachineSpec, private: str, public: str) -> dict[str, object]:
    """The cloud-config: what the customer gave, under what keeps the machine reachable and its key known."""
    if not USER.fullmatch(spec.user):
        raise Rejected("The user name is not valid.", detail=f"user {spec.user!r}")
    given = dict(spec.user_data or {})
    others = given.get("users")
    first: dict[str, object] = {
        "name": spec.user,
        "ssh_authorized_keys": list(spec.ssh_keys),
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "shell": "/bin/bash",
        "lock_passwd": True,
    }
    return {name: value for name, value in given.items() if name not in OURS} | {
        "hostname": hostname_of(spec),
        "users": [first, *(others if isinstance(others, list) else ())],
        "ssh_keys": {"ed25519_private": private, "ed25519_public": public},
        "ssh_deletekeys": True,
        "ssh_pwauth": False,
        "disable_root": True,
    }


def meta_data(spec: MachineSpec) -> dict[str, str]:
    """Who the machine is."""
    return {"instance-id": spec.resource_id or spec.name, "local-hostname": hostname_of(spec)}


def write_seed(path: Path, spec: MachineSpec, private: str, public: str) -> None:
    """Put the ISO in place, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        data = json.dumps(user_data(spec, private, public), ensure_ascii=True)
        (Path(folder) / "user-data").write_text(f"#cloud-config\n{data}\n")
        (Path(folder) / "meta-data").write_text(json.dumps(meta_data(spec)) + "\n")
        tool = shutil.which("genisoimage") or shutil.which("mkisofs") or "genisoimage"
        command = [tool, "-quiet", "-output", str(partial), "-volid", "cidata", "-joliet", "-rock", folder]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
            )
        except OSError as error:
            raise Rejected("The hypervisor host lacks genisoimage.", detail=str(error)) from error
    if done.returncode:
        kind = NoCapacity if "No space left" in done.stderr else Transient
        raise kind("The machine's first-boot data could not be written.", detail=done.stderr.strip())
    partial.chmod(0o600)
    partial.replace(path)
