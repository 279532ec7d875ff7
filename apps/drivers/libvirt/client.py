"""The only file that knows libvirt's own library: connections, its calls, and what its errors mean."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import libvirt
import libvirt_qemu

from apps.drivers.errors import BadCredentials, DriverError, NoCapacity, Rejected, Transient
from apps.drivers.libvirt.documents import TAG_PREFIX, TAG_URI

KEEPALIVE_SECONDS, KEEPALIVE_TRIES = 10, 6  # a daemon that is silent for a minute is gone
FORBIDDEN = {
    libvirt.VIR_ERR_AUTH_FAILED,
    libvirt.VIR_ERR_AUTH_CANCELLED,
    libvirt.VIR_ERR_AUTH_UNAVAILABLE,
    libvirt.VIR_ERR_ACCESS_DENIED,
}
IMPOSSIBLE = {
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
    libvirt.VIR_ERR_XML_ERROR,
    libvirt.VIR_ERR_XML_DETAIL,
    libvirt.VIR_ERR_XML_INVALID_SCHEMA,
    libvirt.VIR_ERR_INVALID_ARG,
    libvirt.VIR_ERR_NO_SUPPORT,
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
    libvirt.VIR_ERR_NO_NETWORK,
}
FULL = ("Cannot allocate memory", "cannot set up guest memory", "No space left on device")

_loop_lock = threading.Lock()
_loop_pid = 0


def _ignore(_context: object, _error: object) -> None:
    """Errors are raised; libvirt need not print them too."""


def _run_loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def _ensure_loop() -> None:
    """Keep-alive and console streams need libvirt's event loop in this very process."""
    global _loop_pid  # one for each process: a fork starts without
    with _loop_lock:
        if _loop_pid == os.getpid():
            return
        libvirt.registerErrorHandler(_ignore, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_loop, name="libvirt-events", daemon=True).start()
        _loop_pid = os.getpid()


def translate(error: libvirt.libvirtError) -> DriverError:
    """What an error of libvirt means to us."""
    code, text = error.get_error_code(), str(error)
    if code in FORBIDDEN or "Permission denied" in text:
        return BadCredentials("The hypervisor refused us.", detail=text)
    if any(words.lower() in text.lower() for words in FULL):
        return NoCapacity("The host has no room for this machine.", detail=text)
    if code in IMPOSSIBLE:
        return Rejected("The hypervisor cannot do this.", detail=text)
    return Transient("The hypervisor could not do this now.", detail=text)


@contextmanager
def as_driver_errors() -> Iterator[None]:
    """Errors of libvirt, in the words of the contract."""
    try:
        yield
    except libvirt.libvirtError as error:
        raise translate(error) from error


def is_gone(error: libvirt.libvirtError) -> bool:
    """Whether the error says that there is no such machine."""
    return bool(error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN)


class Client:
    """One endpoint; connects on first use, again after a loss, and anew in each process."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._lock = threading.Lock()
        self._connection: Any = None
        self._pid = 0

    def connection(self) -> Any:
        """A live connection."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid() and self._is_alive():
                return self._connection
            self._connection = self.open()
            self._pid = os.getpid()
            return self._connection

    def open(self) -> Any:
        """A connection of the caller's own."""
        _ensure_loop()
        with as_driver_errors():
            try:
                connection = libvirt.open(self.uri)
                connection.setKeepAlive(KEEPALIVE_SECONDS, KEEPALIVE_TRIES)
            except libvirt.libvirtError as error:
                known = translate(error)
                if isinstance(known, BadCredentials):
                    raise known from error
                raise Transient("The hypervisor does not answer.", detail=str(error)) from error
        return connection

    def close(self) -> None:
        """Close the shared connection."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
            self._connection = None

    def find(self, name: str) -> Any | None:
        """The domain of that name."""
        with as_driver_errors():
            try:
                return self.connection().lookupByName(name)
            except libvirt.libvirtError as error:
                if is_gone(error):
                    return None
                raise

    def domains(self) -> list[Any]:
        """Every domain, running or not."""
        with as_driver_errors():
            return list(self.connection().listAllDomains())

    def tag_text(self, domain: Any) -> str | None:
        """Our metadata element; None when it has none, or is gone by now."""
        with as_driver_errors():
            try:
                text: str = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, TAG_URI, 0)
            except libvirt.libvirtError as error:
                if is_gone(error) or error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
                    return None
                raise
            return text

    def set_tag_text(self, domain: Any, text: str) -> None:
        """Write our metadata element, for now and for later starts."""
        flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG
        with as_driver_errors():
            if domain.isActive():
                flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
            domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, text, TAG_PREFIX, TAG_URI, flags)

    def define(self, xml: str) -> Any:
        """Make a domain known, or change what is known of it."""
        with as_driver_errors():
            return self.connection().defineXML(xml)

    def destroy(self, domain: Any) -> None:
        """Cut the power; off already is not an error."""
        self._unless_settled(domain.destroy)

    def shutdown(self, domain: Any) -> None:
        """Press the power button."""
        flags = 0 if self.uri.startswith("xen") else libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
        self._unless_settled(domain.shutdownFlags, flags)

    def reboot(self, domain: Any, *, force: bool) -> None:
        """Ask the guest to restart, or reset it."""
        flags = 0 if self.uri.startswith("xen") else libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN
        with as_driver_errors():
            if force:
                domain.reset()
            else:
                domain.reboot(flags)

    def start(self, domain: Any) -> None:
        """Power on; on already is not an error."""
        self._unless_settled(domain.create)

    def undefine(self, domain: Any) -> None:
        """Forget a domain and all that libvirt keeps of it."""
        flags = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        flags |= libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
        self._unless_settled(domain.undefineFlags, flags)

    def addresses(self, domain: Any) -> list[str]:
        """The guest's IPv4 addresses as DHCP, else the neighbour table, knows them."""
        sources = (
            libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
            libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
        )
        for source in sources:
            try:
                interfaces = domain.interfaceAddresses(source) or {}
            except libvirt.libvirtError:  # not running by now, or not known to this driver
                continue
            found = [a["addr"] for i in interfaces.values() for a in i["addrs"] or () if a["type"] == 0]
            if found:
                return found
        return []

    def statistics(self, domain: Any) -> dict[str, Any]:
        """The hypervisor's counters."""
        wanted = libvirt.VIR_DOMAIN_STATS_CPU_TOTAL | libvirt.VIR_DOMAIN_STATS_BALLOON
        wanted |= libvirt.VIR_DOMAIN_STATS_INTERFACE | libvirt.VIR_DOMAIN_STATS_BLOCK
        with as_driver_errors():
            ((_, found),) = self.connection().domainListGetStats([domain], wanted)
        return dict(found)

    def monitor(self, domain: Any, command: str, **arguments: object) -> Any:
        """One command to QEMU itself; for what libvirt has no call for."""
        text = json.dumps({"execute": command, "arguments": arguments})
        with as_driver_errors():
            answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, text, 0))
        if "error" in answer:
            raise Transient("The hypervisor could not do this now.", detail=str(answer["error"]))
        return answer["return"]

    def pci_devices(self) -> list[str]:
        """The host's PCI devices as XML; none where libvirt does not list them."""
        try:
            devices = self.connection().listAllDevices(libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV)
            return [device.XMLDesc() for device in devices]
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
                return []
            raise translate(error) from error

    def network_is_active(self, name: str) -> bool:
        """Whether a network of that name is up."""
        with as_driver_errors():
            try:
                return bool(self.connection().networkLookupByName(name).isActive())
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_NO_NETWORK:
                    return False
                raise

    def open_console_stream(self, name: str) -> tuple[Any, Any]:
        """A connection of its own and the stream of a domain's console on it."""
        connection = self.open()
        with as_driver_errors():
            stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
            domain = connection.lookupByName(name)
            domain.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
        return connection, stream

    def _is_alive(self) -> bool:
        try:
            return bool(self._connection.isAlive())
        except libvirt.libvirtError:
            return False

    def _unless_settled(self, call: Any, *arguments: object) -> None:
        """Do it, unless it is done: the machine is gone, or in the state that was asked for."""
        with as_driver_errors():
            try:
                call(*arguments)
            except libvirt.libvirtError as error:
                if not is_gone(error) and error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
                    raise
