"""Builds the tiny image: BusyBox, Dropbear and Debian's cloud kernel on a disk that boots by itself.

`python3 images/tiny/build.py --out var/images/tiny.qcow2`. Needs apt (for downloads), dpkg-deb, mke2fs,
qemu-img and grub-mkimage; neither root nor loop devices. Packages are kept in the cache folder.
"""

import argparse
import gzip
import hashlib
import json
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
KERNEL_META = "linux-image-cloud-amd64"
PACKAGES = (
    *(
        "busybox-static",
        "dropbear-bin",
        "jq",
        "libjq1",
        "libonig5",
        "libtomcrypt1",
        "libtommath1",
        "libgmp10",
    ),
    *("libc6", "libcrypt1", "zlib1g", "e2fsprogs", "libext2fs2", "libcom-err2", "libblkid1", "libuuid1"),
)
EARLY_MODULES = (
    *("virtio_pci", "virtio_blk", "virtio_net", "xen-blkfront", "xen-netfront", "isofs"),
    *("button", "evdev", "virtio-rng", "virtio_balloon"),
)
PROGRAMS = (
    "usr/sbin/dropbear",
    "usr/bin/dropbearkey",
    "usr/bin/dropbearconvert",
    "usr/bin/jq",
    "sbin/resize2fs",
)
FOLDERS = (
    *("bin", "sbin", "usr/bin", "usr/sbin", "etc/dropbear", "var/lib/cloud", "var/log", "home", "boot"),
    *("root", "dev", "proc", "sys", "run", "tmp", "lib64", "lib/x86_64-linux-gnu"),
)
DISK_MIB, PARTITION_SECTOR = 128, 2048
UUID = "6f0c2b60-7a0b-4c39-9d0e-5a1c3f7d2e11"
TOOLS = ("apt-get", "apt-cache", "dpkg-deb", "mke2fs", "qemu-img", "grub-mkimage")
GRUB_FOLDER = Path("/usr/lib/grub/i386-pc")
BOOT = """set root=(hd0,msdos1)
linux /boot/vmlinuz console=ttyS0 quiet loglevel=3 panic=5 net.ifnames=0 mitigations=off random.trust_cpu=on
initrd /boot/initrd
boot
"""


class CannotBuild(Exception):
    """Something this machine lacks; the message says what."""


def missing_tools() -> list[str]:
    """The programs that are needed and not here."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    missing = [tool for tool in TOOLS if not shutil.which(tool, path=path)]
    return missing + ([] if (GRUB_FOLDER / "boot.img").exists() else ["grub-pc-bin"])


def _run(command: Sequence[str | Path], *, cwd: Path | None = None) -> str:
    env = {**os.environ, "PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin", "LC_ALL": "C"}
    done = subprocess.run(
        command, cwd=cwd, env=env, text=True, capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise CannotBuild(f"{command[0]} failed: {done.stderr.strip()[-800:]}")
    return done.stdout


def _cached(cache: Path, package: str) -> Path | None:
    found = sorted(cache.glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def _depends() -> str:
    try:
        return _run(["apt-cache", "depends", KERNEL_META])
    except CannotBuild:  # apt-cache fails for what it does not know
        return ""


def _kernel_package(cache: Path) -> str:
    if kept := sorted(cache.glob("linux-image-*-cloud-amd64_*.deb")):
        return kept[-1].name.partition("_")[0]
    pattern = re.compile(r"Depends: (linux-image-\S+)")
    found = pattern.search(_depends())
    if not found and os.geteuid() == 0:
        _run(["apt-get", "-q", "update"])
        found = pattern.search(_depends())
    if not found:
        raise CannotBuild(f"apt does not know {KERNEL_META}; run `apt-get update`.")
    return found.group(1)


def fetch(cache: Path) -> dict[str, Path]:
    """Every package, downloaded unless the cache has it."""
    cache.mkdir(parents=True, exist_ok=True)
    wanted = (_kernel_package(cache), *PACKAGES)
    missing = [package for package in wanted if not _cached(cache, package)]
    if missing:
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            download = ["apt-get", "-o", "APT::Sandbox::User=root", "download", *missing]
            try:
                _run(download, cwd=Path(folder))
            except CannotBuild:
                if os.geteuid() != 0:
                    raise
                _run(["apt-get", "-q", "update"])  # the lists may be old, or absent
                _run(download, cwd=Path(folder))
            for file in Path(folder).glob("*.deb"):
                file.replace(cache / file.name)
    packages = {package: _cached(cache, package) for package in wanted}
    absent = [package for package, file in packages.items() if file is None]
    if absent:
        raise CannotBuild(f"apt did not deliver {', '.join(absent)}.")
    return {package: file for package, file in packages.items() if file}


def _modules(tree: Path) -> list[Path]:
    """The early modules and what they depend on, in the order in which they load."""
    files = {file.stem.replace("-", "_"): file for file in tree.glob("lib/modules/*/kernel/**/*.ko")}
    order: list[Path] = []

    def add(name: str) -> None:
        file = files.get(name.replace("-", "_"))
        if file is None or file in order:  # absent: built into the kernel
            return
        found = re.search(rb"\0depends=([^\0]*)\0", file.read_bytes())
        for dependency in filter(None, (found.group(1).decode() if found else "").split(",")):
            add(dependency)
        order.append(file)

    for name in EARLY_MODULES:
        add(name)
    return order


def _cpio(entries: Iterable[tuple[str, int, bytes]]) -> bytes:
    """An archive in the kernel's "newc" format."""
    out = bytearray()
    for number, (name, mode, content) in enumerate((*entries, ("TRAILER!!!", 0, b"")), start=1):
        label = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(label), 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + label
        out += b"\0" * (-len(out) % 4) + content
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def initramfs(tree: Path) -> bytes:
    """BusyBox, the early modules and the first program."""
    folders = [(name, stat.S_IFDIR | 0o755, b"") for name in ("bin", "dev", "proc", "sys", "modules")]
    modules = _modules(tree)
    files = [(f"modules/{file.name}", stat.S_IFREG | 0o644, file.read_bytes()) for file in modules]
    order = "".join(f"{file.name}\n" for file in modules).encode()
    files.append(("modules/order", stat.S_IFREG | 0o644, order))
    files.append(("bin/busybox", stat.S_IFREG | 0o755, (tree / "bin/busybox").read_bytes()))
    files.append(("init", stat.S_IFREG | 0o755, (HERE / "initramfs-init").read_bytes()))
    return gzip.compress(_cpio([*folders, *files]), compresslevel=6, mtime=0)


def _libraries(tree: Path) -> set[Path]:
    """The shared libraries that the programs load, as their own loader finds them."""
    loader = tree / "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    search = f"{tree}/lib/x86_64-linux-gnu:{tree}/usr/lib/x86_64-linux-gnu"
    found: set[Path] = {loader}
    for program in PROGRAMS:
        listed = _run([loader, "--library-path", search, "--list", tree / program])
        if "not found" in listed:
            raise CannotBuild(f"{program} misses a library: {listed}")
        found |= {Path(path) for path in re.findall(rf"({re.escape(str(tree))}\S+)", listed)}
    return found


def root_tree(tree: Path, root: Path) -> None:
    """The files of the root disk."""
    for name in FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    busybox = root / "bin/busybox"
    shutil.copy(tree / "bin/busybox", busybox)
    for name in _run([tree / "bin/busybox", "--list"]).split():
        if name not in {"busybox", "su"}:
            (root / "bin" / name).symlink_to("busybox")
    shutil.copy(busybox, root / "bin/su")
    (root / "bin/su").chmod(0o4755)
    for name in ("init", "poweroff", "reboot", "halt", "getty", "udhcpc"):
        (root / "sbin" / name).symlink_to("/bin/busybox")
    for program in PROGRAMS:
        shutil.copy(tree / program, root / program)
    for library in _libraries(tree):
        shutil.copy(library.resolve(), root / "lib/x86_64-linux-gnu" / library.name)
    (root / "lib64/ld-linux-x86-64.so.2").symlink_to("../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    shutil.copytree(HERE / "rootfs", root, dirs_exist_ok=True)
    for script in ("sbin/boot", "sbin/console", "sbin/power-button", "usr/share/udhcpc/script"):
        (root / script).chmod(0o755)
    (root / "root").chmod(0o700)
    (root / "tmp").chmod(0o1777)
    kernel = next(tree.glob("boot/vmlinuz-*"))
    shutil.copy(kernel, root / "boot/vmlinuz")
    (root / "boot/initrd").write_bytes(initramfs(tree))


def _boot_sectors(work: Path) -> bytes:
    """What the BIOS runs: GRUB's first sector, then its core right behind, where that sector expects it."""
    config, core = work / "grub.cfg", work / "core.img"
    config.write_text(BOOT)
    modules = ("biosdisk", "part_msdos", "ext2", "linux")
    _run(
        ["grub-mkimage", "-O", "i386-pc", "-o", core, "-c", config, "-p", "(hd0,msdos1)/boot/grub", *modules]
    )
    boot = bytearray((GRUB_FOLDER / "boot.img").read_bytes()[:512])
    sectors = DISK_MIB * 2048 - PARTITION_SECTOR
    boot[446:510] = struct.pack(
        "<B3sB3sII", 0x80, b"\x20\x21\x00", 0x83, b"\xff\xff\xff", PARTITION_SECTOR, sectors
    ).ljust(64, b"\0")
    boot[510:512] = b"\x55\xaa"
    image = bytes(boot) + core.read_bytes()
    if len(image) > PARTITION_SECTOR * 512:
        raise CannotBuild("GRUB does not fit before the first partition.")
    return image


def make_disk(root: Path, work: Path, out: Path) -> None:
    """A compressed qcow2 with one ext4 partition; moved into place when it is whole."""
    raw = work / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(DISK_MIB << 20)
    kib = (DISK_MIB - 1) * 1024
    options = f"offset={PARTITION_SECTOR * 512},hash_seed={UUID},root_owner=0:0,resize=67108864"
    features = "^metadata_csum_seed,^orphan_file,^metadata_csum"
    make = [
        "mke2fs",
        "-q",
        "-F",
        "-t",
        "ext4",
        "-b",
        "4096",
        "-i",
        "65536",
        "-J",
        "size=8",
        "-m",
        "1",
        "-L",
        "root",
        "-U",
        UUID,
    ]
    _run([*make, "-O", features, "-E", options, "-d", str(root), str(raw), f"{kib}k"])
    with raw.open("r+b") as file:
        file.write(_boot_sectors(work))
    partial = out.with_name(out.name + ".partial")
    _run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "compat=1.1", raw, partial])
    partial.replace(out)


def _key(packages: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in sorted(packages):
        digest.update(file.name.encode())
    for file in sorted(
        path for path in HERE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ):
        digest.update(file.relative_to(HERE).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def build(out: Path, cache: Path) -> dict[str, str | int]:
    """Make the image unless the one at `out` is up to date; what `<out>.json` says about it is returned."""
    note = out.with_suffix(".json")
    if missing := missing_tools():
        raise CannotBuild(f"These programs are missing: {', '.join(missing)}.")
    packages = fetch(cache)
    key = _key(packages.values())
    if note.exists() and out.exists():
        known: dict[str, str | int] = json.loads(note.read_text())
        if known.get("key") == key and known.get("bytes") == out.stat().st_size:
            return known
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tiny-", dir=out.parent) as folder:
        work = Path(folder)
        tree, root = work / "tree", work / "root"
        for file in packages.values():
            _run(["dpkg-deb", "-x", file, tree])
        root.mkdir()
        root_tree(tree, root)
        make_disk(root, work, out)
    facts: dict[str, str | int] = {
        "key": key, "checksum": f"sha256:{_sha256(out)}", "bytes": out.stat().st_size, "min_disk_gib": 1,
        "min_memory_mib": 128, "default_user": "user",
    }  # fmt: skip
    partial = note.with_name(note.name + ".partial")
    partial.write_text(json.dumps(facts, indent=1) + "\n")
    partial.replace(note)
    return facts


def main() -> int:
    """Build from the command line."""
    parser = argparse.ArgumentParser(description="Build the tiny image.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=HERE.parent.parent / "var" / "cache" / "debs")
    arguments = parser.parse_args()
    try:
        facts = build(arguments.out.resolve(), arguments.cache.resolve())
    except CannotBuild as error:
        print(f"tiny image: {error}", file=sys.stderr)  # noqa: T201 - a command line tool
        return 1
    print(f"{arguments.out}: {facts['bytes']} bytes, {facts['checksum']}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
