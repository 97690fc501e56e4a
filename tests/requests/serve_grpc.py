"""A gRPC server, or its client. usage: serve_grpc.py serve|ask HOST PORT LOG: writes a line of JSON for each call: what the handler saw of it, or what
the client did. The server ends with its input."""
import concurrent.futures
import json
import sys
import threading
import time

import grpc

SIDE, HOST, PORT, LOG = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
calls, lock = [], threading.Lock()


def note(side, method, begin, end, status, answers):
    with lock:
        calls.append({"side": side, "method": method, "begin": begin, "end": end, "status": status, "answers": answers})


class Service(grpc.GenericRpcHandler):
    def service(self, call):
        name = call.method.rsplit("/", 1)[1]
        if name.startswith("Stream"):
            return grpc.unary_stream_rpc_method_handler(lambda request, context: self.stream(call.method, request, context))
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self.unary(call.method, request, context))

    def unary(self, method, request, context):
        begin = time.time_ns()
        if "Slow" in method:
            time.sleep(0.03)
        if "Missing" in method:
            note("server", method, begin, time.time_ns(), 5, 0)
            context.abort(grpc.StatusCode.NOT_FOUND, "none")
        note("server", method, begin, time.time_ns(), 0, 1)
        return request

    def stream(self, method, request, _context):
        begin = time.time_ns()
        for _ in range(5):
            time.sleep(0.002)
            yield request * 1000
        note("server", method, begin, time.time_ns(), 0, 5)


def client(number):
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"{HOST}:{PORT}", options) as channel:
        for n in range(20):
            for kind in ("Get", "Slow", "Missing", "Stream"):
                method = f"/test.Shop/{kind}{number}x{n}"
                begin, status, answers = time.time_ns(), 0, 1
                try:
                    if kind == "Stream":
                        answers = sum(1 for _ in channel.unary_stream(method)(b"abc"))
                    else:
                        channel.unary_unary(method)(b"abc", metadata=[("traceparent", f"00-{number:032x}-{n + 1:016x}-01")])
                except grpc.RpcError as e:
                    status, answers = e.code().value[0], 0
                note("client", method, begin, time.time_ns(), status, answers)
        # Given up by the client: the stream is reset.
        call = channel.unary_unary(f"/test.Shop/Slow{number}late").future(b"abc")
        time.sleep(0.01)
        call.cancel()
        time.sleep(0.05)


def serve():
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers([Service()])
    server.add_insecure_port(f"{HOST}:{PORT}")
    server.start()
    sys.stdin.read()
    server.stop(None).wait()


def ask():
    threads = [threading.Thread(target=client, args=(n,)) for n in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


serve() if SIDE == "serve" else ask()
with open(LOG, "w") as f:
    f.writelines(json.dumps(c) + "\n" for c in calls)
