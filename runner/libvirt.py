"""A private libvirt: daemon, network and machines in namespaces of their own; the host stays as it was.

`Hypervisor(folder).start()` runs libvirtd in a network, mount and process namespace. Its socket is reachable
from outside; its guests are, over one route through a pair of virtual interfaces. Whatever happens to the
caller, the kernel ends everything inside together with the namespace: nothing is left over.
"""

import fcntl
import hashlib
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import IO

from runner.console import Stopped
from runner.processes import Identity, end, identify, is_alive, spawn, tail, wait_until

APT_PACKAGES = (  # for the daemon and its guests, then for building libvirt-python, then for the tiny image
    *(
        "libvirt-daemon-system",
        "qemu-system-x86",
        "qemu-utils",
        "dnsmasq-base",
        "iptables",
        "iproute2",
        "genisoimage",
    ),
    *("libvirt-dev", "pkg-config", "gcc"),
    *("e2fsprogs", "grub-pc-bin", "grub-common"),
)
PROGRAMS = ("libvirtd", "qemu-system-x86_64", "qemu-img", "dnsmasq", "ip", "unshare", "genisoimage")
SEARCH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
NETWORK = "hostedai"
UPLINK = "uplink"  # our end of the pair, inside
START_SECONDS = 120.0
LONGEST_SOCKET_PATH = 100
PRIVATE = ("/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt", "/run/libvirt")


def why_not() -> str:
    """What keeps this machine from running machines, in one sentence; "" when nothing does."""
    if os.geteuid() != 0:
        return "Real machines need root (for network namespaces)."
    if missing := [program for program in PROGRAMS if not shutil.which(program, path=SEARCH)]:
        return f"These programs are missing: {', '.join(missing)} (apt: {' '.join(APT_PACKAGES)})."
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun is missing."
    command = [
        "unshare",
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "ip",
        "link",
        "add",
        "name",
        "probe",
        "type",
        "bridge",
    ]
    tried = subprocess.run(
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env={"PATH": SEARCH}
    )
    return f"Namespaces cannot be made here: {tried.stderr.strip()}" if tried.returncode else ""


class Hypervisor:
    """One private libvirt over one folder; a second start of the same folder waits for the first to end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
        self.log = folder / "libvirtd.log"
        self.subnet = ipaddress.IPv4Network("10.64.0.0/24")
        self._lock: IO[str] | None = None

    @property
    def socket(self) -> Path:
        """Where the daemon listens."""
        return self.folder / "run" / "libvirt-sock"

    def uri(self) -> str:
        """What a client opens."""
        return f"qemu+unix:///system?socket={self.socket}"

    def config(self) -> dict[str, str]:
        """The config of a cluster of kind `libvirt` for this daemon."""
        return {"uri": self.uri(), "network": NETWORK, "storage_dir": str(self.folder / "storage")}

    def start(self, *, dies_by_us: bool, lock_seconds: float = 600.0) -> Identity:
        """Start, ending first what an earlier run left; with `dies_by_us` all ends when this process does."""
        if len(str(self.socket)) > LONGEST_SOCKET_PATH:
            raise Stopped(f"{self.folder} is too long a path for a socket.")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._take_lock(lock_seconds)
        self.end_leftovers()
        self.subnet = self._choose_subnet()
        self._write_config()
        self.log.write_text("")
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
        command += [sys.executable, "-I", "-c", _ENTRY, str(Path(__file__).resolve().parent.parent)]
        command += [str(self.folder), str(self.subnet)]
        process = spawn(
            command, log=self.log, env=_environment(), dies_by=signal.SIGKILL if dies_by_us else None
        )
        identity = identify(process.pid)
        if identity is None:
            raise Stopped(f"The namespace for machines could not be made:\n{tail(self.log)}")
        (self.folder / "unshare.pid").write_text(f"{identity.pid} {identity.started}")
        try:
            self._connect(identity)
            if not wait_until(lambda: self._answers() or not is_alive(identity), seconds=START_SECONDS):
                raise Stopped(f"libvirtd did not start:\n{tail(self.log)}")
            if not is_alive(identity):
                raise Stopped(f"libvirtd did not start:\n{tail(self.log)}")
        except BaseException:
            self.stop()
            raise
        return identity

    def stop(self) -> None:
        """End the daemon, its network and its machines."""
        self.end_leftovers()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def end_leftovers(self) -> None:
        """End what this or an earlier run of the same folder started."""
        try:
            pid, started = (self.folder / "unshare.pid").read_text().split()
        except (OSError, ValueError):
            return
        end(Identity(pid=int(pid), started=int(started)), first=signal.SIGKILL)
        # The first process of the namespace dies by its parent; with it goes everything inside.
        wait_until(lambda: not self._has_interface(), seconds=60)
        (self.folder / "unshare.pid").unlink(missing_ok=True)

    def _take_lock(self, seconds: float) -> None:
        self._lock = (self.folder / "lock").open("w")
        os.set_inheritable(self._lock.fileno(), False)
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Stopped(f"Another run keeps {self.folder}.") from None
                time.sleep(0.2)
            else:
                return

    def _interface(self) -> str:
        return f"hai-{self.key}"

    def _has_interface(self) -> bool:
        return self._interface() in {name for _, name in socket.if_nameindex()}

    def _choose_subnet(self) -> ipaddress.IPv4Network:
        """A /24 nobody on this machine routes elsewhere; the same one again when that is possible."""
        taken = [ipaddress.IPv4Network(route) for route in _routes()]
        for turn in range(1000):
            number = int.from_bytes(hashlib.sha256(f"{self.key}{turn}".encode()).digest()[:2], "big")
            candidate = ipaddress.IPv4Network((0x0A400000 + (number % 0x4000) * 256, 24))  # 10.64.0.0/10
            if not any(candidate.overlaps(route) for route in taken):
                return candidate
        raise Stopped("No free address range below 10.64.0.0/10.")

    def _connect(self, identity: Identity) -> None:
        """Lay the pair of interfaces between the host and the namespace."""
        ours = os.readlink("/proc/self/ns/net")

        def is_apart() -> bool:
            try:
                return os.readlink(f"/proc/{identity.pid}/ns/net") != ours
            except OSError:
                return not is_alive(identity)

        if not wait_until(is_apart, seconds=30) or not is_alive(identity):
            raise Stopped(f"The namespace for machines could not be made:\n{tail(self.log)}")
        name, hosts = self._interface(), list(self.subnet.hosts())
        peer = ["peer", "name", UPLINK, "netns", str(identity.pid)]
        _ip("link", "add", name, "type", "veth", *peer)
        _ip("address", "add", f"{hosts[252]}/30", "dev", name)
        _ip("link", "set", name, "up")
        guests = next(self.subnet.subnets(new_prefix=25))
        if not wait_until(
            lambda: _try_ip("route", "replace", str(guests), "via", str(hosts[253])), seconds=30
        ):
            raise Stopped(f"The route to {guests} could not be set.")

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.socket))
            except OSError:
                return False
        return (self.folder / "run" / "network" / f"{NETWORK}.xml").exists()

    def _write_config(self) -> None:
        for place in PRIVATE:
            (self.folder / _inner(place)).mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.folder / "run", ignore_errors=True)
        for place in ("run", "storage"):
            (self.folder / place).mkdir(exist_ok=True)
            (self.folder / place).chmod(0o700)
        etc = self.folder / "etc"
        (etc / "libvirtd.conf").write_text(
            _LIBVIRTD.format(uuid=uuid.uuid5(uuid.NAMESPACE_URL, str(self.folder)))
        )
        (etc / "qemu.conf").write_text(_QEMU)
        (etc / "network.conf").write_text("")
        networks = etc / "qemu" / "networks"
        (networks / "autostart").mkdir(parents=True, exist_ok=True)
        hosts = list(self.subnet.hosts())
        bridge = hashlib.sha256(self.key.encode()).hexdigest()[:6]
        mac = f"52:54:00:{bridge[0:2]}:{bridge[2:4]}:{bridge[4:6]}"
        text = _NETWORK.format(name=NETWORK, mac=mac, gateway=hosts[0], first=hosts[9], last=hosts[119])
        (networks / f"{NETWORK}.xml").write_text(text)
        link = networks / "autostart" / f"{NETWORK}.xml"
        link.unlink(missing_ok=True)
        link.symlink_to(f"/etc/libvirt/qemu/networks/{NETWORK}.xml")


def environment(host: Hypervisor) -> dict[str, str]:
    """How the product and its tests learn of a private libvirt."""
    config = host.config()
    return {
        "HOSTEDAI_LIBVIRT_URI": config["uri"],
        "HOSTEDAI_LIBVIRT_NETWORK": config["network"],
        "HOSTEDAI_LIBVIRT_STORAGE": config["storage_dir"],
    }


def supervise(folder: Path, subnet: ipaddress.IPv4Network) -> int:
    """First process of the namespaces: lays the folder's parts where libvirt looks, keeps libvirtd up."""
    _run("mount", "--make-rprivate", "/")
    for place in PRIVATE:
        Path(place).mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", str(folder / _inner(place)), place)
    _run("mount", "-t", "sysfs", "sysfs", "/sys")  # shows the interfaces of this namespace
    _ip("link", "set", "lo", "up")
    wait_until(lambda: UPLINK in {name for _, name in socket.if_nameindex()}, seconds=30)
    hosts = list(subnet.hosts())
    _ip("address", "add", f"{hosts[253]}/30", "dev", UPLINK)
    _ip("link", "set", UPLINK, "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    # Guests answer but open nothing: neither to the host nor beyond.
    rule = ["FORWARD", "-o", UPLINK, "-m", "conntrack", "--ctstate", "NEW,INVALID", "-j", "DROP"]
    _run("iptables", "-w", "-A", *rule, must=False)
    while True:
        daemon = os.posix_spawn(
            shutil.which("libvirtd", path=SEARCH) or "/usr/sbin/libvirtd",
            ["libvirtd", "-f", "/etc/libvirt/libvirtd.conf", "-p", "/run/libvirt/libvirtd.pid"],
            _environment(),
        )
        while os.wait()[0] != daemon:  # everything orphaned in here is ours to bury
            pass
        time.sleep(1)


def _inner(place: str) -> str:
    return {"/run/libvirt": "run", "/etc/libvirt": "etc"}.get(place, place.split("/")[2])


def _environment() -> dict[str, str]:
    return {"PATH": SEARCH, "HOME": "/root", "LC_ALL": "C"}


def _run(*command: str, must: bool = True) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=_environment()
    )
    if done.returncode and must:
        raise Stopped(f"{' '.join(command)}: {done.stderr.strip()}")
    if done.returncode:
        print(f"{' '.join(command)}: {done.stderr.strip()}", file=sys.stderr)


def _ip(*command: str) -> None:
    _run("ip", *command)


def _try_ip(*command: str) -> bool:
    try:
        _ip(*command)
    except Stopped:
        return False
    return True


def _routes() -> list[str]:
    listed = subprocess.run(
        ["ip", "-4", "route", "show", "table", "all"],
        capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL, env=_environment(),
    )  # fmt: skip
    words = [line.split() for line in listed.stdout.splitlines() if line.strip()]
    places = [
        line[1] if line[0] in {"local", "broadcast", "unreachable", "blackhole"} else line[0]
        for line in words
    ]
    return [place for place in places if place[0].isdigit()]


_ENTRY = """
import sys, ipaddress, pathlib
sys.path.insert(0, sys.argv[1])
from runner.libvirt import supervise
sys.exit(supervise(pathlib.Path(sys.argv[2]), ipaddress.IPv4Network(sys.argv[3])))
"""
_LIBVIRTD = """\
unix_sock_rw_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "{uuid}"
log_level = 3
log_outputs = "3:stderr"
max_clients = 500
max_workers = 20
keepalive_interval = -1
"""
_QEMU = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
vnc_auto_unix_socket = 0
"""
_NETWORK = """\
<network>
  <name>{name}</name>
  <forward mode='open'/>
  <bridge name='machines' stp='off' delay='0'/>
  <mac address='{mac}'/>
  <dns enable='no'/>
  <ip address='{gateway}' netmask='255.255.255.128'>
    <dhcp><range start='{first}' end='{last}'/></dhcp>
  </ip>
</network>
"""
