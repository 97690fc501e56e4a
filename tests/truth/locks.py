"""A threading.Lock whose holder is known by construction: prints `waiter TID`, `holder TID`, waits for the end of its input."""
import sys
import threading
import time

lock = threading.Lock()


def wait():
    print("waiter", threading.get_native_id(), flush=True)
    time.sleep(0.02)
    with lock:
        pass


print("holder", threading.get_native_id(), flush=True)
with lock:
    t = threading.Thread(target=wait)
    t.start()
    time.sleep(0.08)
t.join()
print("done", threading.get_native_id(), flush=True)
sys.stdin.read()
