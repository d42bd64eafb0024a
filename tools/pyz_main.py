"""``__main__`` of cmd_chat.pyz: exit statuses, and a sentence where Python is too old.

Kept in words that every Python since 2.7 can read, since an old one has to get as far as the
sentence; what needs a newer one is in ``pyz_start``.
"""

import sys

if sys.version_info < (3, 10):  # noqa: UP036
    import pkgutil

    inside = (pkgutil.get_data("__main__", "inside.txt") or b"").decode("ascii").strip()
    here = sys.version_info
    sentence = "cmd_chat: {}; this is Python {}.{}.\n"
    sys.stderr.write(sentence.format(inside, here[0], here[1]))
    sys.exit(2)



def _leave(*_):
    # type: (*object) -> None
    os._exit(130)


try:
    import os
    import signal

    # As in cmd_chat.py: until something is there that needs an exception.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    from pyz_start import main  # type: ignore[import-not-found]  # beside this, in the file

    status = main()
except KeyboardInterrupt:
    sys.exit(130)
if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    signal.signal(signal.SIGINT, _leave)  # while Python clears up
sys.exit(status)
