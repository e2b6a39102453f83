#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""User-mode networking in Lodge (soft) and QEMU TCG, in one run: bytes per second both ways and
TCP connections per second, timed by the servers on the host. Rounds are interleaved.
"""
import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time

import programs

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MIB = 1 << 20
MODULES = "virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net"
INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for m in %s; do insmod /lib/lodge/$m.ko; done
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
i=0
socat -u -b 262144 TCP:10.0.2.2:%d /dev/null
socat -u -b 262144 TCP:10.0.2.2:%d /dev/null
socat -u -b 262144 /dev/zero,readbytes=%d TCP:10.0.2.2:%d
while [ $i -lt %d ]; do nc 10.0.2.2 %d </dev/null >/dev/null; i=$((i+1)); done
poweroff -f
"""


class Server:
    """Calls @serve(connection) for each; notes when the first came and the last ended."""

    def __init__(self, serve):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.socket.getsockname()[1]
        self.serve, self.times = serve, []
        threading.Thread(target=self.loop, daemon=True).start()

    def loop(self):
        while True:
            c, _ = self.socket.accept()
            start = time.monotonic()
            with c:
                self.serve(c)
            self.times.append((start, time.monotonic()))


def push(size):
    data = bytes(MIB)

    def serve(c):
        for _ in range(size // MIB):
            c.sendall(data)
        c.shutdown(socket.SHUT_WR)
        while c.recv(65536):
            pass
    return serve


def pull(c):
    while c.recv(MIB):
        pass


def answer(c):
    c.sendall(b"x")
    c.shutdown(socket.SHUT_WR)
    while c.recv(65536):
        pass


def measure(make_command, args, top):
    down, warm, up, many = Server(push(args.size * MIB)), Server(push(16 * MIB)), Server(pull), Server(answer)
    program = shutil.which("socat")
    socat = [program] + re.findall(r"(/\S+) \(", subprocess.run(["ldd", program], capture_output=True, text=True).stdout)
    root = tempfile.mkdtemp(dir=top)
    with open(os.path.join(root, "init"), "w") as f:
        f.write(INIT % (MODULES, warm.port, down.port, args.size * MIB, up.port, args.connections, many.port))
    os.chmod(os.path.join(root, "init"), 0o755)
    names = ["init"]
    for file in socat:
        programs.copy_files([file], root)
        at = file[1:]
        while at: # directories come before what is in them
            names.insert(0, at)
            at = os.path.dirname(at)
    packed = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input="\n".join(names).encode(), capture_output=True, check=True).stdout
    initrd = os.path.join(root, "initrd")
    with open(args.initramfs, "rb") as base, open(initrd, "wb") as f:
        f.write(base.read() + packed)
    p = subprocess.run(make_command(initrd), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=args.timeout)
    if len(many.times) != args.connections or len(down.times) != 1 or len(up.times) != 1:
        raise RuntimeError("no end: %d connections; %s" % (len(many.times), (p.stdout + p.stderr)[-800:]))
    return {"down MiB/s": args.size / (down.times[0][1] - down.times[0][0]), "up MiB/s": args.size / (up.times[0][1] - up.times[0][0]),
            "connections/s": args.connections / (many.times[-1][1] - many.times[0][0])}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--lodge", default=os.path.join(ROOT, "build/lodge"))
    p.add_argument("--kernel", default=os.path.join(ROOT, "build/guest/cloud/vmlinuz"))
    p.add_argument("--initramfs", default=os.path.join(ROOT, "build/guest/initramfs.cpio"))
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--size", type=int, default=256, help="MiB each way (default 256)")
    p.add_argument("--connections", type=int, default=200)
    p.add_argument("--timeout", type=int, default=600)
    p.add_argument("--json", metavar="FILE")
    args = p.parse_args()
    append = "console=ttyS0 quiet panic=-1"
    contestants = {"lodge": lambda initrd: [args.lodge, "run", "--accel", "soft", "--kernel", args.kernel, "--initrd", initrd, "--append", append,
                                            "-m", "1024M", "--net", "user"]}
    qemu = shutil.which("qemu-system-x86_64")
    if qemu:
        contestants["tcg"] = lambda initrd: [qemu, "-accel", "tcg", "-cpu", "max", "-kernel", args.kernel, "-initrd", initrd, "-append", append, "-m", "1024",
                                             "-nographic", "-no-reboot", "-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n,romfile="]
    results = {name: [] for name in contestants}
    with tempfile.TemporaryDirectory() as top:
        for _ in range(args.rounds):
            for name, command in contestants.items():
                results[name].append(measure(command, args, top))
    medians = {name: {row: statistics.median(r[row] for r in rounds) for row in rounds[0]} for name, rounds in results.items()}
    print("%-14s %10s %10s %8s" % ("", *(list(medians) + ["-"])[:2], "x"))
    for row in medians["lodge"]:
        tcg = medians.get("tcg", {}).get(row)
        print("%-14s %10.1f %10s %8s" % (row, medians["lodge"][row], "%.1f" % tcg if tcg else "-", "%.2f" % (medians["lodge"][row] / tcg) if tcg else "-"))
    if args.json:
        with open(args.json, "w") as f:
            json.dump(results, f, indent=1)


main()
