"""A TLS client and server on the loopback, for tests of what is seen of them.

tls.py exchange       the client sends what it holds in three pieces, the server reads them, both end
tls.py wait           the server never answers: the client reads for ever
tls.py memory         handshakes that never leave memory, until stdin ends
"""

import socket
import ssl
import subprocess
import sys
import tempfile
import threading

# On no command line, in no name: only ever inside TLS.
PIECES = [b"PLAIN" + b"SECRET" * 15, b"PLAINSECRET" * 1000, b"PLAINSECRET"]


def contexts():
    folder = tempfile.mkdtemp()
    cert, key = folder + "/cert.pem", folder + "/key.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command = ["openssl", "req", "-x509", *kind, "-keyout", key, "-out", cert]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    # The client never reads: tickets that it leaves unread would make its close a reset, which takes what is on its way along.
    server.num_tickets = 0
    client = ssl.create_default_context(cafile=cert)
    client.check_hostname = False
    return server, client


def serve(listener, context, answers):
    connection = context.wrap_socket(listener.accept()[0], server_side=True)
    while connection.recv(5000):
        pass
    if answers:
        connection.close()
    else:
        threading.Event().wait()


def main(mode):
    server, client = contexts()
    if mode == "memory":
        print("ready", flush=True)
        ends = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.read(), ends.set())).start()
        while not ends.wait(0.05):
            tls = client.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO())
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
        return
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, args=(listener, server, mode == "exchange"), daemon=True)
    thread.start()
    connection = client.wrap_socket(socket.create_connection(listener.getsockname()))
    print(connection.getsockname()[1], flush=True)
    if mode == "wait":
        connection.recv(1)
    for piece in PIECES:
        connection.sendall(piece)
    connection.close()
    thread.join()


main(sys.argv[1])
