"""TCP traffic on loopback port 9999 under loss: bulk transfers and many short connections, then the end."""
import socket
import threading

server = socket.create_server(("127.0.0.1", 9999), backlog=200)


def serve():
    while True:
        c, _ = server.accept()
        threading.Thread(target=drain, args=(c,), daemon=True).start()


def drain(c):
    with c:
        try:
            while c.recv(65536):
                pass
            c.sendall(b"done")
        except OSError:
            pass


def send(size):
    try:
        with socket.create_connection(("127.0.0.1", 9999), timeout=10) as c:
            c.sendall(b"x" * size)
            c.shutdown(socket.SHUT_WR)
            c.recv(10)
    except OSError:
        pass


threading.Thread(target=serve, daemon=True).start()
threads = [threading.Thread(target=send, args=(size,)) for size in [2_000_000] * 4 + [500] * 100]
for t in threads:
    t.start()
for t in threads:
    t.join()
