"""An ASGI application for hypercorn: h2c with prior knowledge and by upgrade. Writes a line of JSON for each request to
the file that $LOG names."""
import asyncio
import json
import os
import time


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    begin = time.time_ns()
    while (await receive()).get("more_body"):
        pass
    path = scope["path"]
    if path.startswith("/slow"):
        await asyncio.sleep(0.03)
    status = 404 if path.startswith("/missing") else 200
    body = b"x" * (200_000 if path.startswith("/big") else 100)
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    # When sending is over is the kernel's to know: this is the least that the request took.
    end = time.time_ns()
    await send({"type": "http.response.body", "body": body})
    line = {"method": scope["method"], "path": path, "status": status, "begin": begin, "end": end,
            "version": scope["http_version"]}
    with open(os.environ["LOG"], "a") as f:
        f.write(json.dumps(line) + "\n")
