"""The files of one libvirt host: base images, and a folder for each machine with its disk and seed."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from apps.drivers.base import ImageRef, MachineSpec, SnapshotRef
from apps.drivers.errors import DriverError, NoCapacity, Rejected, Transient
from apps.drivers.libvirt.documents import Tag
from apps.drivers.libvirt.seed import new_host_key, write_seed

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
CHECKSUM = re.compile(r"sha256:([0-9a-f]{64})")
GIB = 1 << 30
CHUNK = 1 << 20


def checked_name(name: str) -> str:
    """The name, unless it could lead out of its folder or into an option."""
    if not NAME.fullmatch(name):
        raise Rejected("The name is not valid.", detail=f"name {name!r}")
    return name


class MachineFiles:
    """The folder of one machine; `machine.json` is the first thing in and the last thing out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root.qcow2"
        self.seed = folder / "seed.iso"
        self.note = folder / "machine.json"

    def exist(self) -> bool:
        """Whether anything of the machine is on disk."""
        return self.folder.exists()

    def tag(self) -> Tag | None:
        """What the note says; None without a readable one."""
        try:
            return Tag(**json.loads(self.note.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write_tag(self, tag: Tag) -> None:
        """Write the note."""
        partial = self.note.with_name("machine.json.partial")
        partial.write_text(json.dumps(asdict(tag)))
        partial.replace(self.note)

    def remove(self) -> None:
        """Remove the folder and all that is in it."""
        with as_driver_errors():
            for path in self.folder.glob("*") if self.folder.exists() else ():
                if path != self.note:
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            self.note.unlink(missing_ok=True)
            if self.folder.exists():
                self.folder.rmdir()

    def disk_gib(self) -> int:
        """The size the guest sees; 0 without a disk."""
        try:
            with self.root.open("rb") as file:
                header = file.read(32)
        except OSError:
            return 0
        return int.from_bytes(header[24:32], "big") // GIB

    def grow(self, disk_gib: int) -> None:
        """Make the disk of a stopped machine larger."""
        qemu_img("resize", "--image-opts", image_opts(self.root), str(disk_gib * GIB))

    def snapshots(self) -> tuple[SnapshotRef, ...]:
        """The snapshots inside the disk, oldest first."""
        said = qemu_img("info", "-U", "--output=json", "--image-opts", image_opts(self.root))
        found = [
            SnapshotRef(
                row["name"], row["date-sec"] + row.get("date-nsec", 0) / 1e9, row.get("vm-state-size", 0)
            )
            for row in json.loads(said).get("snapshots", ())
        ]
        return tuple(sorted(found, key=lambda snapshot: (snapshot.created_at, snapshot.name)))

    def snapshot(self, action: str, name: str) -> None:
        """Create (-c), delete (-d) or restore (-a) a snapshot of a stopped machine."""
        qemu_img("snapshot", action, name, "--image-opts", image_opts(self.root))


class Storage:
    """All files below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = folder / "images"
        self.machines = folder / "machines"

    def machine(self, name: str) -> MachineFiles:
        """The files of a machine, there or not."""
        return MachineFiles(self.machines / checked_name(name))

    def leftovers(self) -> list[tuple[str, Tag]]:
        """Every machine that has a folder with a note."""
        with as_driver_errors():
            folders = sorted(self.machines.iterdir()) if self.machines.exists() else []
        found = [(folder.name, MachineFiles(folder).tag()) for folder in folders]
        return [(name, tag) for name, tag in found if tag]

    def prepare(self, spec: MachineSpec) -> tuple[MachineFiles, Tag]:
        """Disk and seed of a new machine; what is already there is kept."""
        files = self.machine(spec.name)
        base = self.base_image(spec.image)
        with as_driver_errors():
            files.folder.mkdir(parents=True, exist_ok=True)
            files.folder.chmod(0o700)
            known = files.tag()
            if known is None or not files.seed.exists():
                private, public = new_host_key()
                known = Tag(spec.installation, spec.resource_id, spec.fence, public)
                files.write_tag(known)
                write_seed(files.seed, spec, private, public)
            tag = Tag(known.installation, known.resource_id, max(known.fence, spec.fence), known.host_key)
            files.write_tag(tag)
            if not files.root.exists():
                _make_overlay(files.root, base, spec.disk_gib)
        return files, tag

    def base_image(self, image: ImageRef) -> Path:
        """The image on this host, copied and checked at its first use."""
        match = CHECKSUM.fullmatch(image.checksum)
        if not match:
            raise Rejected("The image has no checksum.", detail=f"{image.name}: checksum {image.checksum!r}")
        place = self.images / f"{match.group(1)}.qcow2"
        if place.exists():
            return place
        with as_driver_errors():
            self.images.mkdir(parents=True, exist_ok=True)
            with _locked(self.images / ".lock"):
                if not place.exists():
                    _import_image(image, match.group(1), place)
        return place


@contextmanager
def as_driver_errors() -> Iterator[None]:
    """Trouble with files, in the words of the contract."""
    try:
        yield
    except OSError as error:
        if error.errno in {28, 122}:  # no space, over quota
            raise NoCapacity("The host's disks are full.", detail=str(error)) from error
        raise Transient("The host's files cannot be used.", detail=str(error)) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Transient("The image is being copied to this region.", detail=str(path)) from error
        yield


def _import_image(image: ImageRef, wanted: str, place: Path) -> None:
    source = Path(image.source)
    if not source.is_absolute() or not source.is_file():
        raise Rejected("The image is not in this region.", detail=f"{image.name}: no file {image.source!r}")
    partial = place.with_name(f"{wanted}.partial")
    digest = hashlib.sha256()
    with source.open("rb") as reading, partial.open("wb") as writing:
        while chunk := reading.read(CHUNK):
            digest.update(chunk)
            writing.write(chunk)
    if digest.hexdigest() != wanted:
        partial.unlink()
        raise Rejected(
            "The image is not what its checksum says.",
            detail=f"{image.name}: sha256 {digest.hexdigest()}, expected {wanted}",
        )
    with partial.open("rb") as file:
        is_qcow2 = file.read(4) == b"QFI\xfb"
    if is_qcow2:
        _require_plain(image, partial)
    else:
        converted = place.with_name(f"{wanted}.converted")
        qemu_img("convert", "-f", "raw", "-O", "qcow2", "-o", "compat=1.1", str(partial), str(converted))
        converted.replace(partial)
    partial.chmod(0o444)
    partial.replace(place)


def _require_plain(image: ImageRef, path: Path) -> None:
    """An image must not name other files of the host."""
    said = json.loads(qemu_img("info", "--output=json", "-f", "qcow2", str(path)))
    special: dict[str, Any] = said.get("format-specific", {}).get("data", {})
    if said.get("backing-filename") or special.get("data-file") or said.get("encrypted"):
        path.unlink()
        raise Rejected("The image is not self-contained.", detail=f"{image.name}: {said}")


def _make_overlay(path: Path, base: Path, disk_gib: int) -> None:
    with base.open("rb") as file:
        smallest = int.from_bytes(file.read(32)[24:32], "big")
    if disk_gib * GIB < smallest:
        needed = -(-smallest // GIB)
        raise Rejected(
            f"The image needs a disk of at least {needed} GiB.", detail=f"asked for {disk_gib} GiB"
        )
    partial = path.with_name(path.name + ".partial")
    backing = ("-F", "qcow2", "-b", str(base))
    qemu_img("create", "-f", "qcow2", "-o", "compat=1.1", *backing, str(partial), str(disk_gib * GIB))
    partial.chmod(0o600)
    partial.replace(path)


def image_opts(path: Path) -> str:
    """The disk as qemu-img options, so that its format is never guessed."""
    return f"driver=qcow2,file.driver=file,file.filename={str(path).replace(',', ',,')}"


def qemu_img(*arguments: str) -> str:
    """Run qemu-img; raises `DriverError`."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["qemu-img", *arguments],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=environment,
        )  # fmt: skip
    except OSError as error:
        raise Rejected("The hypervisor host lacks qemu-img.", detail=str(error)) from error
    if done.returncode:
        raise _reason(done.stderr.strip())
    return done.stdout


def _reason(text: str) -> DriverError:
    if "No space left" in text:
        return NoCapacity("The host's disks are full.", detail=text)
    if "lock" in text:
        return Transient("The disk is in use.", detail=text)
    if "No such file" in text:
        return Rejected("The disk is not there.", detail=text)
    return Transient("The disk could not be worked on.", detail=text)
