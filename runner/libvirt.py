"""A private libvirt: daemon, network and guests in namespaces of their own; the machine stays as it was.

`Hypervisor(folder).start()` runs libvirtd in a network, mount and process namespace. Its socket can be
reached from outside, and so can its guests, over one route through a pair of virtual interfaces. Guests open
connections to the internet only: slirp4netns opens them anew as a program of the machine would, so that not a
rule of the machine changes. Whatever happens to the caller, the kernel ends everything inside with the
namespace: nothing is left over.
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
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from runner.console import Stopped
from runner.processes import Identity, end, identify, is_alive, spawn, tail, wait_until

APT_PACKAGES = (  # for the daemon and its guests, for building libvirt-python, for the tiny image
    *("libvirt-daemon-system", "libvirt-clients", "qemu-system-x86", "qemu-utils", "dnsmasq-base"),
    *("iptables", "iproute2", "slirp4netns", "genisoimage", "libvirt-dev", "pkg-config", "gcc", "libc6-dev"),
    *("e2fsprogs", "grub-pc-bin", "grub-common"),
)
PROGRAMS = (
    *("libvirtd", "virsh", "qemu-system-x86_64", "qemu-img", "dnsmasq", "genisoimage"),
    *("iptables", "ip", "nsenter", "slirp4netns", "unshare"),
)
SEARCH = "/usr/sbin:/sbin:/usr/bin:/bin"
PRIVATE = {
    "etc": "/etc/libvirt",
    "run": "/run/libvirt",
    "lib": "/var/lib/libvirt",
    "cache": "/var/cache/libvirt",
    "log": "/var/log/libvirt",
}
NETWORK, BRIDGE, UPLINK, OUTSIDE = "default", "guests", "uplink", "outside"
RECORD = "namespace.pid"
RANGES = ("10.64.0.0/10", "198.18.0.0/15", "172.16.0.0/12", "192.168.0.0/16")
SECONDS = 120.0
# What guests may not open: the networks that the machine may be part of, its neighbours' and its provider's.
NOT_OUTSIDE = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"),
)
NAMESERVER = "10.0.2.3"  # slirp4netns', who asks the machine's own
MACHINE = 9  # the descriptor by which those inside know the machine's network
NAMESPACES = (
    *("sh", "-c", f'exec "$@" {MACHINE}</proc/self/ns/net', "sh"),
    *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"),
)
ON_MACHINE = ("nsenter", f"--net=/proc/1/fd/{MACHINE}")
WAY_OUT = ("slirp4netns", "--configure", "--disable-host-loopback", "--enable-sandbox", "--enable-seccomp")
DAEMONS = (
    ("libvirtd", "-f", "/etc/libvirt/libvirtd.conf", "-p", "/run/libvirt/libvirtd.pid"),
    (*ON_MACHINE, *WAY_OUT, "1", OUTSIDE),
)
PROBE = f"""\
ip link add name {BRIDGE} type bridge
ip link add name {UPLINK} type veth peer name probe
ip tuntap add mode tap name tap0
iptables -w -A FORWARD -o {UPLINK} -m conntrack --ctstate NEW,INVALID -j DROP
iptables -w -A FORWARD -o {OUTSIDE} -j REJECT
iptables -w -t nat -A POSTROUTING -o {OUTSIDE} -j MASQUERADE
"""
ENTRY = """\
import ipaddress, pathlib, sys
sys.path.insert(0, sys.argv[1])
from runner.libvirt import supervise
supervise(pathlib.Path(sys.argv[2]), ipaddress.IPv4Network(sys.argv[3]))
"""
LIBVIRTD_CONF = """\
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
host_uuid = "{uuid}"
log_level = 3
log_outputs = "3:stderr"
max_clients = 500
"""
QEMU_CONF = """\
user = "+0"
group = "+0"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
"""
NETWORK_XML = """\
<network>
  <name>{name}</name>
  <forward mode='open'/>
  <bridge name='{bridge}' stp='off' delay='0'/>
  <mac address='{mac}'/>
  <dns><forwarder addr='{nameserver}'/></dns>
  <ip address='{gateway}' netmask='255.255.255.128'>
    <dhcp><range start='{first}' end='{last}'/></dhcp>
  </ip>
</network>
"""


def why_not() -> str:
    """What keeps this machine from running machines, in one sentence; "" when nothing does."""
    if os.geteuid() != 0:
        return "Real machines need root, for namespaces."
    if lacking := [program for program in PROGRAMS if not shutil.which(program, path=SEARCH)]:
        return f"These programs are missing: {', '.join(lacking)} (apt: {' '.join(APT_PACKAGES)})."
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun is missing."
    probe = _call(*NAMESPACES, "sh", "-ec", PROBE)
    return f"Namespaces are not allowed here: {probe.stderr.strip()}" if probe.returncode else ""


class Hypervisor:
    """One libvirtd with a guest network over one folder, which no other run may use at the same time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "libvirtd.log"
        self.storage = folder / "storage"
        self._lock: IO[str] | None = None

    @property
    def socket(self) -> Path:
        """Where libvirtd listens, as seen from outside its namespaces."""
        return self.folder / "run" / "libvirt-sock"

    def uri(self) -> str:
        """What a client opens."""
        return f"qemu+unix:///system?socket={self.socket}"

    @property
    def interface(self) -> str:
        """The machine's end of the link to the namespace; the same for a folder always."""
        return "hai" + hashlib.sha256(str(self.folder).encode()).hexdigest()[:10]

    def config(self) -> dict[str, str]:
        """The config of a cluster of kind `libvirt` that is this daemon."""
        return {"uri": self.uri(), "network": NETWORK, "storage_dir": str(self.storage)}

    def start(self, *, dies_by_us: bool, lock_seconds: float = 600.0) -> None:
        """Start, ending first what an earlier run left; with `dies_by_us` all ends when this process does."""
        if reason := why_not():
            raise Stopped(reason)
        if len(str(self.socket)) > 100:
            raise Stopped(f"The path of libvirt's socket is too long: {self.socket}")
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._lock is None:
            self._take_lock(lock_seconds)
        self.end_leftovers()
        subnet = _choose_subnet(self.folder)
        _write_config(self.folder, subnet)
        root = Path(__file__).resolve().parent.parent
        command = (*NAMESPACES, sys.executable, "-I", "-c", ENTRY, root, self.folder, str(subnet))
        dies_by = signal.SIGKILL if dies_by_us else None
        process = spawn(command, log=self.log, env=_environment(), cwd=Path("/"), dies_by=dies_by)
        identity = identify(process.pid)
        if identity is None:
            raise Stopped(f"The namespaces could not be made:\n{tail(self.log)}")
        (self.folder / RECORD).write_text(f"{identity.pid} {identity.started}")
        is_up = False
        try:
            _connect(identity, self.interface, subnet)
            wait_until(lambda: self._answers() or not is_alive(identity), seconds=SECONDS)
            is_up = is_alive(identity) and self._answers()
        finally:
            if not is_up:
                self.stop()
        if not is_up:
            raise Stopped(f"libvirtd did not start:\n{tail(self.log)}")

    def stop(self) -> None:
        """End the daemon, its network and its guests."""
        self.end_leftovers()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def end_leftovers(self) -> None:
        """End what this or an earlier run of the same folder started."""
        try:
            pid, started = (self.folder / RECORD).read_text().split()
        except (OSError, ValueError):
            return
        end(Identity(pid=int(pid), started=int(started)), first=signal.SIGKILL)
        # The first process of the namespace dies with its parent, and with it everything inside.
        wait_until(lambda: not self.has_interface(), seconds=60)
        (self.folder / RECORD).unlink(missing_ok=True)

    def virsh(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run one virsh command against this daemon."""
        return _call("virsh", "-q", "-c", self.uri(), *command)

    def has_interface(self) -> bool:
        """Whether the link to the namespace is there."""
        return self.interface in _interfaces()

    def restart_daemon(self) -> None:
        """Kill libvirtd alone, as a crash would; it is started anew, and guests live on."""
        outer = (self.folder / RECORD).read_text().split()[0]
        first = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0]
        inside = (self.folder / "run" / "libvirtd.pid").read_text().strip()
        _do("nsenter", "--target", first, "--pid", "--mount", "kill", "-KILL", inside)

    def _take_lock(self, seconds: float) -> None:
        lock = (self.folder / "lock").open("w")

        def is_ours() -> bool:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        if not wait_until(is_ours, seconds=seconds):
            lock.close()
            raise Stopped(f"Another run keeps {self.folder}.")
        self._lock = lock

    def _answers(self) -> bool:
        if not (self.folder / "run" / "network" / f"{NETWORK}.xml").exists():
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.socket))
            except OSError:
                return False
        return True


def environment(host: Hypervisor) -> dict[str, str]:
    """How the product and its tests learn of a private libvirt."""
    config = host.config()
    return {
        "HOSTEDAI_LIBVIRT_URI": config["uri"],
        "HOSTEDAI_LIBVIRT_NETWORK": config["network"],
        "HOSTEDAI_LIBVIRT_STORAGE": config["storage_dir"],
    }


def supervise(folder: Path, subnet: ipaddress.IPv4Network) -> None:
    """Be the first process inside: put parts of the folder where libvirt looks, keep libvirtd and the
    guests' way out going."""
    os.set_inheritable(MACHINE, False)
    _do("mount", "--make-rprivate", "/")
    for name, place in PRIVATE.items():
        Path(place).mkdir(parents=True, exist_ok=True)
        _do("mount", "--bind", folder / name, place)
    _do("mount", "-t", "sysfs", "sysfs", "/sys")  # shows the interfaces of this namespace
    _do("ip", "link", "set", "lo", "up")
    if not wait_until(lambda: UPLINK in _interfaces(), seconds=SECONDS):
        raise Stopped("nobody laid the link to the machine")
    _do("ip", "address", "add", f"{subnet[254]}/30", "dev", UPLINK)
    _do("ip", "link", "set", UPLINK, "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    _guard(subnet)
    running = {_begin(command): command for command in DAEMONS}
    while True:
        command = running.pop(os.wait()[0], None)  # whatever is orphaned in here is ours to bury
        if command:
            time.sleep(1)
            running[_begin(command)] = command


def _begin(command: Sequence[str]) -> int:
    program = shutil.which(command[0], path=SEARCH) or command[0]
    return os.posix_spawn(program, list(command), _environment())


def _guard(subnet: ipaddress.IPv4Network) -> None:
    """Guests answer the machine but open nothing to it; to the internet they go under one address."""
    rule = ("-o", UPLINK, "-m", "conntrack", "--ctstate", "NEW,INVALID", "-j", "DROP")
    _do("iptables", "-w", "-A", "FORWARD", *rule)
    _do("iptables", "-w", "-A", "INPUT", "-i", BRIDGE, "-p", "tcp", "-j", "DROP")
    for network in (*NOT_OUTSIDE, *_own_addresses()):
        _do("iptables", "-w", "-A", "FORWARD", "-o", OUTSIDE, "-d", network, "-j", "REJECT")
    out = ("-s", str(_guests(subnet)), "-o", OUTSIDE, "-j", "MASQUERADE")
    _do("iptables", "-w", "-t", "nat", "-A", "POSTROUTING", *out)


def _own_addresses() -> list[str]:
    """What the machine itself is called in its own network: a guest's way out starts there, as if trusted."""
    listed = _do(*ON_MACHINE, "ip", "-4", "-o", "address", "show")
    return [line.split()[3].partition("/")[0] for line in listed.splitlines()]


def _connect(inside: Identity, name: str, subnet: ipaddress.IPv4Network) -> None:
    """Lay a pair of interfaces between the machine and the namespace, and the route to the guests."""
    ours = _network_namespace(os.getpid())
    if not wait_until(lambda: _network_namespace(inside.pid) not in {"", ours}, seconds=30):
        raise Stopped("the namespaces could not be made")
    _do("ip", "link", "add", name, "type", "veth", "peer", "name", UPLINK, "netns", str(inside.pid))
    _do("ip", "address", "add", f"{subnet[253]}/30", "dev", name)
    _do("ip", "link", "set", name, "up")
    _do("ip", "route", "add", str(_guests(subnet)), "via", str(subnet[254]), "dev", name)


def _network_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


def _guests(subnet: ipaddress.IPv4Network) -> ipaddress.IPv4Network:
    return next(subnet.subnets(new_prefix=25))


def _choose_subnet(folder: Path) -> ipaddress.IPv4Network:
    """A private /24 that this machine routes nowhere; the same for a folder if possible."""
    taken = _routes()
    for turn in range(500):
        dice = hashlib.sha256(f"{folder}{turn}".encode()).digest()
        for text in RANGES:
            whole = ipaddress.IPv4Network(text)
            number = int.from_bytes(dice[:4], "big") % (whole.num_addresses // 256)
            subnet = ipaddress.IPv4Network((int(whole.network_address) + number * 256, 24))
            if not any(subnet.overlaps(route) for route in taken):
                return subnet
    raise Stopped(f"there is no free address range in {', '.join(RANGES)}")


def _routes() -> list[ipaddress.IPv4Network]:
    found = []
    for line in _do("ip", "-4", "route", "show", "table", "all").splitlines():
        for word in line.split()[:2]:
            try:
                found.append(ipaddress.IPv4Network(word, strict=False))
            except ValueError:
                continue
    return [network for network in found if network.prefixlen]


def _write_config(folder: Path, subnet: ipaddress.IPv4Network) -> None:
    shutil.rmtree(folder / "run", ignore_errors=True)
    for name in (*PRIVATE, "storage", "etc/qemu/networks/autostart"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "storage").chmod(0o700)
    (folder / "libvirtd.log").write_text("")
    digest = hashlib.sha256(str(folder).encode()).digest()
    host = uuid.UUID(bytes=digest[:16], version=4)
    (folder / "etc" / "libvirtd.conf").write_text(LIBVIRTD_CONF.format(uuid=host))
    (folder / "etc" / "qemu.conf").write_text(QEMU_CONF)
    mac = "52:54:00:" + digest[:3].hex(":")
    places = {"nameserver": NAMESERVER, "gateway": subnet[1], "first": subnet[10], "last": subnet[120]}
    networks = folder / "etc" / "qemu" / "networks"
    text = NETWORK_XML.format(name=NETWORK, bridge=BRIDGE, mac=mac, **places)
    (networks / f"{NETWORK}.xml").write_text(text)
    link = networks / "autostart" / f"{NETWORK}.xml"
    link.unlink(missing_ok=True)
    link.symlink_to(f"/etc/libvirt/qemu/networks/{NETWORK}.xml")


def _interfaces() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def _environment() -> dict[str, str]:
    return {"PATH": SEARCH, "LC_ALL": "C", "HOME": "/"}


def _call(*command: str | Path) -> subprocess.CompletedProcess[str]:
    words = [str(part) for part in command]
    return subprocess.run(
        words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=_environment()
    )


def _do(*command: str | Path) -> str:
    done = _call(*command)
    if done.returncode:
        words = " ".join(str(part) for part in command)
        raise Stopped(f"{words}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
