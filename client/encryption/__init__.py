"""The room layer: what members say to each other, which no server can read.  Pure.

``encryption`` is where a client begins: it enters rooms, several at once if need be.  In each
``room_encryption`` judges each post and seals each line; ``sender_keys`` derives the key of every
message, ``envelope`` is what is inside a box, ``roster`` and ``transcript`` are what a sender was
shown, ``membership`` holds all that of one time in one room, ``run_state`` what outlasts it;
``trust`` and ``safety_numbers`` are what people compare.
"""
