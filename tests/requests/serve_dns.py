"""A DNS server over UDP and TCP, and its client. usage: serve_dns.py PORT LOG: asks itself, and writes a line of JSON for
each question that the server got, and one for how long the client waited for it."""
import json
import sys
import time

import dns.exception
import dns.message
import dns.query
import dns.rcode
from dnslib import QTYPE, RCODE, RR, A
from dnslib.server import DNSServer

PORT, LOG = int(sys.argv[1]), sys.argv[2]
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


servers = [DNSServer(Resolver(), port=PORT, address="127.0.0.1", tcp=tcp, logger=Quiet()) for tcp in (False, True)]
for server in servers:
    server.start_thread()
for n in range(30):
    for kind in ("fast", "slow", "nothing", "broken"):
        for ask in (dns.query.udp, dns.query.tcp):
            query = dns.message.make_query(f"{kind}{n}.{ask.__name__}.example", "A", use_edns=n % 2 == 0)
            begin = time.time_ns()
            ask(query, "127.0.0.1", port=PORT, timeout=3)
            log.append({"name": str(query.question[0].name).rstrip("."), "asked": time.time_ns() - begin})
for n in range(3):
    try:
        dns.query.udp(dns.message.make_query(f"never{n}.udp.example", "A"), "127.0.0.1", port=PORT, timeout=0.1)
    except dns.exception.Timeout:
        pass
time.sleep(0.5)
with open(LOG, "w") as f:
    f.writelines(json.dumps(line) + "\n" for line in log)
