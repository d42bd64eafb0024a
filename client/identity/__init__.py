"""An identity that lasts, where somebody wants one: its signing key, and the people it knows.

``records`` is what is in its file, ``store`` the file itself, ``keeper``
what a client that runs adds to it, on a thread of its own, and ``command`` is ``cmd_chat.py
identity``.  Nothing of it is imported where no identity is named.
"""
