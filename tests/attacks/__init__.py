"""Attacks on the program by name: ``python -m tests.attacks NAME``; without a name they are listed.

Each is bounded in time and number, goes to a server or client that it starts itself, on loopback
only, and prints what it measured.  The attacker is ``tests/second_client.py``.  ``--program PATH``
attacks another version's ``cmd_chat.py``.  docs/RELIABILITY.md has what came of them.
"""
