"""Local history, where somebody wants one: encrypted, one folder for each server.

``recorder`` writes what is shown, on a thread of its own, and looks back; ``store`` is the
folder with its key file and a file for each run, ``records`` what is in those files and how that
is sealed, ``command`` is ``cmd_chat.py history``. Nothing of it is imported where there is none.
"""
