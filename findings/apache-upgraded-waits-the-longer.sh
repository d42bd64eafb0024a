#!/usr/bin/env bash
# Apache's mod_proxy_http: on an upgraded connection a ProxyTimeout shorter than Timeout does nothing.
#
# ProxyTimeout is documented as the network timeout for proxied requests, and so it is: a back end
# that does not answer an ordinary request within it gets the client a 502. Once a connection has
# been upgraded (ProxyPass … upgrade=websocket), the tunnel's two sides share one timeout, the
# longer of the client's (Timeout) and the back end's (ProxyTimeout, or timeout= of the worker). So
# Debian's Timeout 300 keeps silent WebSockets for five minutes whatever a shorter ProxyTimeout
# says, and a longer ProxyTimeout is enough to keep them longer than Timeout.
#
# Seen with Apache 2.4.71 (Debian 12). For a chat: who wants dead connections noticed soon has to do
# it by heartbeats, not by the proxy's timeout; who wants quiet ones kept need set one of the two.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(cat "$folder"/pids 2>/dev/null) 2>/dev/null || :; rm -rf "$folder"' EXIT
cd "$folder"
# As root of a container: apt drops to a user of its own, who cannot write here, and warns.
apt-get download -qq apache2-bin=2.4.71-1~deb12u1 libapr1 libaprutil1 2>/dev/null
for package in *.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH=$folder/root/usr/lib/x86_64-linux-gnu
chmod 755 "$folder"

cat >seen.py <<'EOF2'
import os, socket, subprocess, sys, threading, time

MODULES = "mpm_event authz_core proxy proxy_http".split()


def back_end(listener):
    """Upgrades whoever asks for it, and never says anything else."""
    kept = []
    while True:
        sock, _ = listener.accept()
        kept.append(sock)
        if b"pgrade: websocket" in sock.recv(4096):
            sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                         b"Connection: Upgrade\r\n\r\n")


def seconds(timeout, proxy_timeout, upgrade):
    """What Apache answers, and after how many whole seconds it ends the connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=back_end, args=(listener,), daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    lines = [f"LoadModule {name}_module {os.getcwd()}/root/usr/lib/apache2/modules/mod_{name}.so" for name in MODULES]
    if os.geteuid() == 0:
        lines += ["User nobody", "Group nogroup"]
    with open("conf", "w") as conf:
        conf.write("\n".join(lines) + f"""
ServerRoot {os.getcwd()}
DefaultRuntimeDir {os.getcwd()}
PidFile pid
ErrorLog /dev/null
ServerName localhost
Listen 127.0.0.1:{port}
Timeout {timeout}
ProxyTimeout {proxy_timeout}
ProxyPass / http://127.0.0.1:{listener.getsockname()[1]}/ upgrade=websocket
""")
    process = subprocess.Popen(["root/usr/sbin/apache2", "-DFOREGROUND", "-f", f"{os.getcwd()}/conf"])
    with open("pids", "a") as pids:
        print(process.pid, file=pids)
    try:
        while True:
            try:
                sock = socket.create_connection(("127.0.0.1", port))
                break
            except OSError:
                assert process.poll() is None, "Apache does not start"
                time.sleep(0.05)
        head = "GET / HTTP/1.1\r\nHost: localhost\r\n"
        if upgrade:
            head += ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
        else:
            head += "Connection: close\r\n"
        began = time.monotonic()
        sock.sendall(head.encode() + b"\r\n")
        answer = b""
        while part := sock.recv(4096):
            answer += part
        return answer.split(b" ")[1].decode(), int(time.monotonic() - began)
    finally:
        process.terminate()
        process.wait()


for timeout, proxy_timeout, upgrade in ((8, 3, False), (8, 3, True), (3, 8, True)):
    kind = "upgraded" if upgrade else "ordinary"
    status, waited = seconds(timeout, proxy_timeout, upgrade)
    print(f"Timeout {timeout}, ProxyTimeout {proxy_timeout}, {kind}: {status}, ended after {waited} s")
EOF2
root/usr/sbin/apache2 -v | head -1
python3 seen.py | tee seen.txt
diff - seen.txt <<'EOF2'
Timeout 8, ProxyTimeout 3, ordinary: 502, ended after 3 s
Timeout 8, ProxyTimeout 3, upgraded: 101, ended after 8 s
Timeout 3, ProxyTimeout 8, upgraded: 101, ended after 8 s
EOF2
echo "as it was: an upgraded connection waits the longer of both"
