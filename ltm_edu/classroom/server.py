"""Imports the libraries once, and forks a process for each exercise of each student.

The grading process starts it with `python -m`, before anything of a student or a class is read: it
knows no secret, and what it forks can find none in its memory. It receives a request over a socket,
together with the two pipes over which the new process is asked.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence

import torch

from .answering import answer_questions, warm_up
from .sandbox import Limits, lock_up, readable_folders


def main(control: int) -> None:
    """Serve until the grading process closes the socket, or is killed."""
    torch.set_num_threads(1)
    warm_up()
    processes: set[int] = set()
    try:
        with socket.socket(fileno=control) as line, contextlib.suppress(ConnectionError):
            _serve(line, processes)
    finally:
        for process in processes:
            _end(process)


def _serve(line: socket.socket, processes: set[int]) -> None:
    folders = readable_folders()
    line.sendall(b"ready\n")
    while True:
        data, pipes, _, _ = socket.recv_fds(line, 1 << 20, 2)
        if not data:
            return
        order = json.loads(data)
        reply: dict[str, int] = {}
        if "load" in order:
            _load(order["load"])
        elif "start" in order:
            process = os.fork()
            if process == 0:
                _become_a_students_process(pipes, Limits(**order["start"]), folders)
            for pipe in pipes:
                os.close(pipe)
            processes.add(process)
            reply = {"process": process}
        else:
            processes.discard(order["end"])
            _end(order["end"])
        line.sendall(json.dumps(reply).encode() + b"\n")


def _load(sources: Sequence[str]) -> None:
    """Run import cells of the course, so that the processes that are forked need not."""
    for source in sources:
        with contextlib.suppress(Exception):
            exec(compile(source, "<imports>", "exec"), {"__name__": "imports"})
    gc.collect()
    gc.freeze()  # keeps the memory of the libraries shared


def _end(process: int) -> None:
    """Kill a process, and all that it has started where it could."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(OSError):
            kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def _become_a_students_process(pipes: Sequence[int], limits: Limits, folders: list[str]) -> None:
    """Keep two pipes and nothing else, lock up, and answer questions. This does not return."""
    try:
        os.setsid()
        os.chdir("/")
        read, write = (os.dup(p) for p in pipes)
        os.dup2(read, 100)
        os.dup2(write, 101)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nothing, stream)
        os.closerange(3, 100)
        os.closerange(102, 1 << 16)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        kept = {k: v for k, v in os.environ.items() if k == "LANG"}
        os.environ.clear()
        os.environ |= kept | {"PATH": "/usr/bin"}  # the teacher's may name private folders
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")  # a system without memory ends this process first
        lock_up(limits, folders)
        answer_questions(100, 101)
    finally:
        os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
