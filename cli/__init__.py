"""The command line: which subcommands there are, what their arguments set, what is asked for.

It gathers the settings, starts the server, the client or a short command with them, and turns
however that ends into an exit status and at most one sentence. ``cmd_chat.py`` calls it.
"""
