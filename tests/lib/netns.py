"""Network namespaces for tests: what runs in one, threads that enter one, and a way from one to another through a router."""
import ctypes
import os
import subprocess
import threading


def sh(*argv, check=True):
    return subprocess.run(argv, check=check, capture_output=True, text=True).stdout


def netns(name, *argv):
    return ["ip", "netns", "exec", name, *argv]


def inside(name, function, *args):
    """Runs a function in a namespace: in a thread, which alone enters it."""
    out = {}

    def body():
        fd = os.open(f"/var/run/netns/{name}", os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000):
            raise OSError(ctypes.get_errno(), f"cannot enter {name}")
        os.close(fd)
        out["is"] = function(*args)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread, out


def delete(*names):
    for name in names:
        sh("ip", "netns", "del", name, check=False)


class Way:
    """Two hosts and a router between them, whose packets nft rules meet: `10.N.1.1` on `left`, `10.N.2.2` on `right`, `10.N.1.9` and `10.N.2.9`
    on the router, which calls its interfaces r0 and r1; the hosts' are eth0."""

    def __init__(self, left, right, router, number):
        self.left, self.right, self.router, self.net = left, right, router, f"10.{number}"

    def setup(self, rules):
        """Why nft refused; nothing where it did not."""
        self.teardown()
        for name in (self.left, self.right, self.router):
            sh("ip", "netns", "add", name)
            sh(*netns(name, "ip", "link", "set", "lo", "up"))
        for name, part, host, port in ((self.left, 1, 1, "r0"), (self.right, 2, 2, "r1")):
            sh("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", port, "netns", self.router)
            sh(*netns(name, "ip", "addr", "add", f"{self.net}.{part}.{host}/24", "dev", "eth0"))
            sh(*netns(self.router, "ip", "addr", "add", f"{self.net}.{part}.9/24", "dev", port))
            sh(*netns(name, "ip", "link", "set", "eth0", "up"))
            sh(*netns(self.router, "ip", "link", "set", port, "up"))
            sh(*netns(name, "ip", "route", "add", "default", "via", f"{self.net}.{part}.9"))
        sh(*netns(self.router, "sysctl", "-qw", "net.ipv4.ip_forward=1"))
        return subprocess.run(netns(self.router, "nft", "-f", "-"), input=rules, text=True, capture_output=True).stderr.strip()

    def teardown(self):
        delete(self.left, self.right, self.router)


def retransmitted(name):
    """Segments that the kernel sent again in a namespace."""
    lines = sh(*netns(name, "cat", "/proc/net/snmp")).splitlines()
    names, values = [line.split() for line in lines if line.startswith("Tcp:")]
    return int(values[names.index("RetransSegs")])
