"""A DNS server over UDP and TCP, or its client. usage: serve_dns.py serve|ask HOST PORT LOG: writes a line of JSON for each question that the server
got, or for how long the client waited for it. The server ends with its input."""
import json
import sys
import time

import dns.exception
import dns.message
import dns.query
import dns.rcode
from dnslib import QTYPE, RCODE, RR, A
from dnslib.server import DNSServer

SIDE, HOST, PORT, LOG = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
log = []


class Resolver:
    def resolve(self, request, handler):
        name, begin = str(request.q.qname).rstrip("."), time.time_ns()
        reply = request.reply()
        if name.startswith("nothing"):
            reply.header.rcode = RCODE.NXDOMAIN
        elif name.startswith("broken"):
            reply.header.rcode = RCODE.SERVFAIL
        else:
            if name.startswith("slow"):
                time.sleep(0.02)
            if name.startswith("never"):
                # Longer than the client waits.
                time.sleep(0.3)
            reply.add_answer(*[RR(request.q.qname, QTYPE.A, rdata=A(f"10.0.0.{n}")) for n in range(1, 4)])
        log.append({"name": name, "type": QTYPE[request.q.qtype], "rcode": RCODE[reply.header.rcode], "begin": begin,
                    "end": time.time_ns(), "tcp": handler.protocol == "tcp", "answers": len(reply.rr)})
        return reply


class Quiet:
    def __getattr__(self, _name):
        return lambda *_: None


def serve():
    for tcp in (False, True):
        DNSServer(Resolver(), port=PORT, address=HOST, tcp=tcp, logger=Quiet()).start_thread()
    sys.stdin.read()


def ask():
    for n in range(30):
        for kind in ("fast", "slow", "nothing", "broken"):
            for way in (dns.query.udp, dns.query.tcp):
                query = dns.message.make_query(f"{kind}{n}.{way.__name__}.example", "A", use_edns=n % 2 == 0)
                begin = time.time_ns()
                way(query, HOST, port=PORT, timeout=10)
                log.append({"name": str(query.question[0].name).rstrip("."), "asked": time.time_ns() - begin})
    for n in range(3):
        try:
            dns.query.udp(dns.message.make_query(f"never{n}.udp.example", "A"), HOST, port=PORT, timeout=0.1)
        except dns.exception.Timeout:
            pass
    time.sleep(0.5)


serve() if SIDE == "serve" else ask()
with open(LOG, "w") as f:
    f.writelines(json.dumps(line) + "\n" for line in log)
