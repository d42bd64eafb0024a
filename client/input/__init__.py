"""What a person types, or a program writes to the client: bytes in, lines and keys out.

``keyboard``, ``windows_keyboard`` and ``pipes`` are where lines come from; ``keys`` and
``key_sequences`` turn bytes into keys, ``paste`` finds which of them nobody has pressed, and
``editor`` and ``line_history`` make the line being typed of them; these are pure. ``terminal``,
``modes`` and ``windows`` change the settings of a terminal, and change them back.
"""
