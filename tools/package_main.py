"""``cmd_chat.__main__`` as pip installs it: the program's own folder first, then cmd_chat.py's way.

``cmd-chat`` and ``python -m cmd_chat`` start here.
"""

import sys

try:
    import os
    import signal
except KeyboardInterrupt:
    sys.exit(130)

TREE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_tree")


def _leave(*_: object) -> None:
    os._exit(130)


# As in cmd_chat.py: until something is there that needs an exception.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _leave)


def main() -> int:
    """Run the program; returns the exit status."""
    # In place of the script's folder, or with -m of the working folder, which has no say here;
    # where Python was told to leave those out, before everything else.
    if getattr(sys.flags, "safe_path", sys.flags.isolated):
        sys.path.insert(0, TREE)
    else:
        sys.path[0] = TREE
    sys.dont_write_bytecode = True  # the program leaves no files behind
    try:
        from cli.run import main as run

        status = run()
    except KeyboardInterrupt:
        status = 130
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _leave)  # while Python clears up
    return status


if __name__ == "__main__":
    sys.exit(main())
