"""Whether KVM works here. A device file proves nothing, so a few instructions are run under it."""

import functools
import os
import re
import subprocess
import tempfile
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
DEVICE = Path("/dev/kvm")
SECONDS = 10
# mov al, 0x10; mov dx, 0xf4; out dx, al; hlt; jmp -3 - which ends QEMU with status (0x10 << 1) | 1
BOOT_SECTOR = b"\xb0\x10\xba\xf4\x00\xee\xf4\xeb\xfd".ljust(510, b"\0") + b"\x55\xaa"
PROOF = 33


def has_virtualisation(cpu_info: str) -> bool:
    """Whether the processor says that it can."""
    return re.search(r"^flags\s*:.*\b(vmx|svm)\b", cpu_info, re.MULTILINE) is not None


def boots(accelerator: str) -> bool:
    """Whether a boot sector runs under that accelerator of QEMU."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "probe.img"
        image.write_bytes(BOOT_SECTOR.ljust(1 << 20, b"\0"))
        command = ["qemu-system-x86_64", "-machine", "pc", "-accel", accelerator, "-display", "none"]
        command += ["-nodefaults", "-no-reboot", "-m", "32", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        command += ["-drive", f"file={image},format=raw,if=ide"]
        try:
            done = subprocess.run(
                command, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=SECONDS
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == PROOF


@functools.cache
def virt_type() -> str:
    """`kvm` when it is proven to work on this host, else `qemu` (emulation)."""
    try:
        says_so = has_virtualisation(CPU_INFO.read_text()) and os.access(DEVICE, os.R_OK | os.W_OK)
    except OSError:
        return "qemu"
    return "kvm" if says_so and boots("kvm") else "qemu"
