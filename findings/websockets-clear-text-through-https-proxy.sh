#!/usr/bin/env bash
# websockets: ws:// goes through https_proxy, although http_proxy names another proxy.
#
# Everywhere else the variable's name is the scheme of what is fetched: curl, urllib and requests
# take http_proxy for http:// and https_proxy for https://, so one would expect ws:// to follow
# http_proxy.  The synchronous and asyncio clients of websockets take https_proxy for ws:// where it
# is set, and http_proxy only where it is not (a WebSocket is tunnelled by CONNECT in either case).
#
# Seen with websockets 15.0.1 and 17.4, Python 3; curl beside them as the usual rule.
# For a chat client: people who set both variables expect clear text to one proxy and TLS to the
# other, and a client that copies this choice reaches a proxy that refuses the port.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for version in 15.0.1 17.4; do
    python3 -m pip install --quiet --disable-pip-version-check --target "websockets-$version" \
        "websockets==$version"
done

cat >seen.py <<'EOF'
"""Two proxies that only say that they were asked; who asks which, for a ws:// address?"""
import os, socket, subprocess, sys, threading

asked = []


def proxy(name):
    sock = socket.create_server(("127.0.0.1", 0))

    def answer():
        while True:
            peer, _ = sock.accept()
            line = peer.recv(4096).split(b"\r\n")[0].split()
            asked.append((name, line[0].decode() if line else ""))
            peer.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            peer.close()

    threading.Thread(target=answer, daemon=True).start()
    return "http://127.0.0.1:%d" % sock.getsockname()[1]


def see(who, environment, work):
    for name in ("http_proxy", "https_proxy"):
        os.environ.pop(name, None)
    os.environ.update(environment)
    asked.clear()
    work()
    print("%-18s %-26s -> %s by %s" % (who, "+".join(sorted(environment)), *asked[0]))


def with_websockets():
    from websockets.sync.client import connect

    try:
        connect("ws://chat.example.org:1000/")
    except Exception:
        pass


def with_curl():
    subprocess.run(["curl", "-s", "-o", os.devnull, "http://chat.example.org:1000/"])


http, https = proxy("http_proxy"), proxy("https_proxy")
both = {"http_proxy": http, "https_proxy": https}
for name in list(os.environ):
    if name.lower().endswith("_proxy"):
        del os.environ[name]
if sys.argv[1] == "curl":
    see("curl", both, with_curl)
else:
    see("websockets " + sys.argv[1], both, with_websockets)
    see("websockets " + sys.argv[1], {"http_proxy": http}, with_websockets)
EOF
{
    python3 seen.py curl
    for version in 15.0.1 17.4; do PYTHONPATH="websockets-$version" python3 seen.py "$version"; done
} | tee seen.txt
diff - seen.txt <<'EOF'
curl               http_proxy+https_proxy     -> http_proxy by GET
websockets 15.0.1  http_proxy+https_proxy     -> https_proxy by CONNECT
websockets 15.0.1  http_proxy                 -> http_proxy by CONNECT
websockets 17.4    http_proxy+https_proxy     -> https_proxy by CONNECT
websockets 17.4    http_proxy                 -> http_proxy by CONNECT
EOF
echo "as it was: ws:// goes through https_proxy"
