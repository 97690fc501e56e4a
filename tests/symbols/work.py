"""Busy in a function whose name is known. usage: python3.12 -X perf work.py SECONDS"""
import sys
import time


def spin_in_python(n):
    x = n | 1
    for i in range(20000):
        x = (x * 1103515245 + (x >> 3)) & 0xFFFFFFFF
    return x


def outer_of_python(end):
    x = 1
    while time.monotonic() < end:
        x = spin_in_python(x)
    return x


outer_of_python(time.monotonic() + float(sys.argv[1]))
