"""Threads of ours when the interpreter ends: one that is killed inside torch takes it down."""

from __future__ import annotations

import atexit
import threading
import weakref

_stops: weakref.WeakKeyDictionary[threading.Thread, threading.Event] = weakref.WeakKeyDictionary()
_ending = threading.Event()


def stopped_at_the_end(thread: threading.Thread, stop: threading.Event) -> None:
    """Let an interpreter that ends set `stop`, upon which the thread soon ends, and wait for that."""
    _stops[thread] = stop
    if _ending.is_set():
        stop.set()


@atexit.register
def _stop_all() -> None:
    _ending.set()
    for stop in list(_stops.values()):
        stop.set()
    for thread in list(_stops):
        if thread.is_alive():
            thread.join()
