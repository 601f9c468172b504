"""`python -m ltm_edu` is `ltm-edu`; `torchrun -m ltm_edu` starts it on several GPUs."""

import os
import signal


def start() -> int:
    """Load the command line and run it; a signal while it is being loaded is one line, too."""
    known = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    mine = [number for number, usual in known.items() if signal.getsignal(number) == usual]
    for number in mine:
        signal.signal(number, _leave)
    from .cli import main

    for number in mine:
        signal.signal(number, known[number])
    return main()


def _leave(number: int, _frame: object) -> None:
    os.write(2, b"ltm-edu: stopped\n")
    os._exit(128 + number)


if __name__ == "__main__":
    raise SystemExit(start())
