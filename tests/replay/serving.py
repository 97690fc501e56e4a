"""A web server and its clients, recorded: nginx that logs each request in JSON, in a network namespace of this process, where nobody else's
packets are; a client whose requests are numbered."""
import atexit
import ctypes
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from otlp import recorder_binary  # noqa: E402

CLONE_NEWNET = 0x40000000
CONF = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log warn; worker_rlimit_nofile 4096;
events {{ worker_connections 2048; }}
http {{
  log_format one escape=json '{{"connection":$connection,"at":$msec,"took":$request_time,"method":"$request_method","uri":"$request_uri",'
    '"host":"$http_host","length":"$http_content_length","coding":"$http_transfer_encoding","body":"$request_body","status":$status,'
    '"auth":"$http_authorization","cookie":"$http_cookie","mark":"$http_coldcase_replay","run":"$http_x_run","accept":"$http_accept"}}';
  access_log {folder}/access.log one; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_requests 100000; client_body_buffer_size 1m; client_max_body_size 8m;
  server {{
    listen 127.0.0.1:{port} backlog=1024; root {folder}/www;
    location /orders {{ proxy_pass http://unix:{folder}/inner.sock; }}
    location /flaky {{ {flaky} }}
    location /hostile {{ return 200 "seen"; }}
  }}
  server {{ listen unix:{folder}/inner.sock; access_log off; location / {{ return 201 "made"; }} }}
}}
"""


def enter_own_network():
    """This process and what it starts are alone on a network of their own. False without the right to."""
    if os.geteuid() != 0 or ctypes.CDLL(None).unshare(CLONE_NEWNET) != 0:
        return False
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return True


class Nginx:
    def __init__(self, folder, port, flaky="return 200 ok;"):
        self.folder, self.port = pathlib.Path(folder), port
        (self.folder / "www").mkdir(parents=True)
        (self.folder / "www/small.txt").write_bytes(b"s" * 120)
        (self.folder / "www/big.bin").write_bytes(os.urandom(300_000))
        for item in range(40):
            (self.folder / f"www/item-{item}.html").write_bytes(b"i" * (500 + 97 * item))
        conf = self.folder / "nginx.conf"
        conf.write_text(CONF.format(folder=self.folder, port=port, flaky=flaky))
        atexit.register(self.stop)
        self.process = subprocess.Popen(["nginx", "-c", str(conf), "-e", str(self.folder / "error.log")])
        for _ in range(200):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        sys.exit(f"nginx does not listen: {(self.folder / 'error.log').read_text()[-500:]}")

    def log(self):
        """The requests as it logged them, in the order of their ends."""
        return [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]

    def stop(self):
        atexit.unregister(self.stop)
        self.process.terminate()
        self.process.wait(10)


class Sleeper(threading.Thread):
    """How late a plain sleep of 5 ms is meanwhile: what this machine's other load does to any clock."""

    def __enter__(self):
        self.late, self.over = [], False
        self.start()
        return self

    def run(self):
        while not self.over:
            begun = time.monotonic()
            time.sleep(0.005)
            self.late.append((time.monotonic() - begun - 0.005) * 1000)

    def __exit__(self, *_):
        self.over = True
        self.join()

    def p99(self):
        """Milliseconds."""
        return sorted(self.late)[int(len(self.late) * 0.99)]


class Recording:
    """`coldcase record` of loopback's packets while the block runs."""

    def __init__(self, case, *argv):
        self.argv = [recorder_binary(), "record", "-o", str(case), "--only", "packets", "--interface", "lo", *map(str, argv)]

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = []
        for line in self.process.stderr:
            said.append(line)
            if "; Ctrl-C ends it" in line or line.startswith("recording "):
                break
        else:
            sys.exit(f"the recorder did not start: {''.join(said)[-600:]}")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        time.sleep(0.5)
        return self

    def __exit__(self, *_):
        time.sleep(0.7)
        self.process.send_signal(signal.SIGINT)
        if self.process.wait(60) not in (0, 3):
            sys.exit(f"the recorder ended with {self.process.returncode}")


class Client(threading.Thread):
    """One connection: sends what it is told, each request with its number, after a pause. Bytes go out as they stand here."""

    def __init__(self, port, name, plan):
        super().__init__(daemon=True)
        self.port, self.name, self.plan, self.statuses = port, name, plan, []

    def run(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answers = s.makefile("rb")
            for number, (pause, method, path, headers, body, chunked) in enumerate(self.plan):
                time.sleep(pause)
                head = f"{method} {path} HTTP/1.1\r\nHost: recorded.example\r\nX-Run: {self.name}-{number}\r\nAccept: text/html\r\n"
                head += "".join(f"{k}: {v}\r\n" for k, v in headers.items())
                if chunked:
                    head += "Transfer-Encoding: chunked\r\n\r\n"
                    parts = [body[:10], body[10:]]
                    data = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"
                elif body:
                    head += f"Content-Length: {len(body)}\r\n\r\n"
                    data = body
                else:
                    head, data = head + "\r\n", b""
                s.sendall(head.encode() + data)
                self.statuses.append(self.read(answers, method))

    @staticmethod
    def read(answers, method):
        status = int(answers.readline().split()[1])
        length = 0
        while line := answers.readline().strip():
            name, value = line.split(b":", 1)
            if name.lower() == b"content-length":
                length = int(value)
            if name.lower() == b"transfer-encoding":
                length = None
        if method == "HEAD" or status in (204, 304):
            return status
        if length is None:
            while size := int(answers.readline(), 16):
                answers.read(size + 2)
            answers.readline()
        else:
            answers.read(length)
        return status
