"""CMD CHAT: python cmd_chat.py serve (or connect, and others that --help names)

Kept in words that every Python since 2.7 can read, since an old one has to get as far as the
sentence that it is too old; everything else is in ``cli``.
"""

import sys


def _leave(*_):
    # type: (*object) -> None
    os._exit(130)


if __name__ == "__main__":
    if sys.version_info < (3, 10):  # noqa: UP036
        sentence = "cmd_chat: CMD CHAT needs Python 3.10 or newer; this is Python {}.{}.\n"
        sys.stderr.write(sentence.format(*sys.version_info[:2]))
        sys.exit(2)
    try:
        import os
        import signal

        # From here on Ctrl-C ends it on the spot: an exception in the middle of an import could
        # be shown, or be lost. Questions, the client and the server have their own ways.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _leave)
        sys.dont_write_bytecode = True  # the program leaves no files behind
        from cli.run import main

        status = main()
    except KeyboardInterrupt:
        sys.exit(130)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _leave)  # while Python clears up
    sys.exit(status)
