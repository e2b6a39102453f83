#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make bench: the same loads on the host, in Lodge (soft) and in QEMU TCG, in one run.

Boots each virtual machine with the same kernel, initramfs, memory and vcpus, has it
run the loads, and prints medians with ratios; --json writes everything measured.
Rounds are interleaved so that a noisy moment hits all contestants alike.
"""
import argparse
import json
import os
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import programs

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LINE = re.compile(r"^([a-z0-9-]+) ([0-9.]+) ([0-9a-f]{16})\s*$")
MARK_READY = "BENCH-READY"
MARK_DONE = "BENCH-DONE"


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--lodge", default=os.path.join(ROOT, "build/lodge"))
    p.add_argument("--loads", default=os.path.join(ROOT, "build/bench/loads"))
    p.add_argument("--kernel", default=os.path.join(ROOT, "build/guest/cloud/vmlinuz"))
    p.add_argument("--busybox", default="/bin/busybox")
    p.add_argument("--rounds", type=int, default=5, help="runs of each contestant (default 5)")
    p.add_argument("--memory", default="1024")
    p.add_argument("--only", action="append", default=[], metavar="ROW", help="run this row only; may be repeated")
    p.add_argument("--json", metavar="FILE", help="write the measurements there")
    p.add_argument("--timeout", type=int, default=600, help="seconds for one boot with its loads (default 600)")
    p.add_argument("--boot-only", action="store_true", help="measure the boot row alone")
    return p.parse_args()


INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev 2>/dev/null
echo %s
%s
echo mitigations: $(/bin/busybox cat /sys/devices/system/cpu/vulnerabilities/spectre_v2 2>/dev/null)
echo %s
/bin/busybox poweroff -f
"""


def time_command(loads, row, command):
    return [loads, "--time", row, row + ".in", "/dev/shm/bench.out" if loads != "/bin/loads" else "/tmp/bench.out"] + command


def make_initramfs(args, rows, commands, files, inputs, path):
    with tempfile.TemporaryDirectory() as top:
        programs.copy_files(files, top)
        shutil.copytree(inputs, os.path.join(top, "bench"))
        os.makedirs(os.path.join(top, "bin"), exist_ok=True)
        shutil.copy(args.busybox, os.path.join(top, "bin/busybox"))
        shutil.copy(args.loads, os.path.join(top, "bin/loads"))
        lines = [shlex.join(time_command("/bin/loads", r, commands[r]) if r in commands else ["/bin/loads", r]) for r in rows]
        run = "cd /bench\n" + "\n".join(lines) if rows else ""
        init = os.path.join(top, "init")
        with open(init, "w") as f:
            f.write(INIT % (MARK_READY, run, MARK_DONE))
        os.chmod(init, 0o755)
        names = subprocess.run(["find", ".", "-print"], cwd=top, capture_output=True, check=True).stdout
        with open(path, "wb") as out:
            subprocess.run(["cpio", "-o", "-H", "newc", "--quiet", "-R", "0:0"], cwd=top, input=names, stdout=out, check=True)


def run_vm(command, timeout):
    """Boot, collect the lines of the loads; returns (rows, seconds to init) or raises RuntimeError."""
    start = time.monotonic()
    ready = None
    rows = {}
    done = False
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    tail = []
    try:
        for line in p.stdout:
            line = line.strip()
            tail = (tail + [line])[-15:]
            if MARK_READY in line:
                ready = time.monotonic() - start
            m = LINE.match(line)
            if m:
                rows[m.group(1)] = (float(m.group(2)), m.group(3))
            if MARK_DONE in line:
                done = True
            if time.monotonic() - start > timeout:
                break
        p.wait(timeout=60)
    except subprocess.TimeoutExpired:
        pass
    finally:
        p.kill()
    if not done:
        raise RuntimeError("%s did not finish its loads; last lines:\n  %s" % (command[0], "\n  ".join(tail)))
    return rows, ready


def run_native(args, rows, commands, inputs):
    out = {}
    for r in rows:
        command = time_command(args.loads, r, commands[r]) if r in commands else [args.loads, r]
        text = subprocess.run(["taskset", "-c", "0"] + command, cwd=inputs, capture_output=True, text=True, check=True).stdout
        m = LINE.match(text.strip())
        out[m.group(1)] = (float(m.group(2)), m.group(3))
    return out


def contestants(args, initrd):
    append = "console=ttyS0 quiet panic=-1 nokaslr"
    yield "lodge", ["taskset", "-c", "0,1", args.lodge, "run", "--accel", "soft", "--kernel", args.kernel, "--initrd", initrd,
                    "--append", append, "-m", args.memory + "M", "-c", "1"]
    qemu = shutil.which("qemu-system-x86_64")
    if qemu:
        for model in ("max", "qemu64"):
            yield "tcg-" + model, [qemu, "-accel", "tcg", "-cpu", model, "-kernel", args.kernel, "-initrd", initrd, "-append", append,
                                   "-m", args.memory, "-smp", "1", "-nographic", "-no-reboot", "-net", "none"]


def geometric_mean(values):
    return statistics.geometric_mean(values) if values else None


def table(results, rows):
    names = ["native", "lodge", "tcg"]
    print("%-16s %12s %12s %12s %10s %10s" % ("load", "native", "lodge", "tcg (best)", "x native", "x tcg"))
    over_native, over_tcg = [], []
    for r in rows:
        med = {}
        for n in names:
            if n == "tcg":
                both = [results[c][r] for c in ("tcg-max", "tcg-qemu64") if results.get(c, {}).get(r)]
                med[n] = min((statistics.median(v for v, _ in x) for x in both), default=None)
            else:
                med[n] = statistics.median(v for v, _ in results[n][r]) if results.get(n, {}).get(r) else None
        def f(v):
            return "-" if v is None else "%.4g" % v
        def ratio(a, b):
            return "-" if a is None or b is None else "%.2f" % (a / b)
        if r not in ("boot", "self-patch") and None not in med.values():
            over_native.append(med["lodge"] / med["native"])
            over_tcg.append(med["tcg"] / med["lodge"])
        slow = "  << slower than TCG" if med["tcg"] and med["lodge"] and med["lodge"] > med["tcg"] else ""
        print("%-16s %12s %12s %12s %10s %10s%s" % (r, f(med["native"]), f(med["lodge"]), f(med["tcg"]),
                                                   ratio(med["lodge"], med["native"]), ratio(med["tcg"], med["lodge"]), slow))
    if over_native:
        print("%-16s %12s %12s %12s %10.2f %10.2f" % ("geometric mean", "", "", "", geometric_mean(over_native), geometric_mean(over_tcg)))
        print("(of all loads but boot and self-patch)")


def main():
    args = parse()
    args.loads = os.path.abspath(args.loads)
    for path, what in ((args.lodge, "make"), (args.loads, "make bench"), (args.kernel, "make run")):
        if not os.path.exists(path):
            sys.exit("bench: %s is missing: `%s` makes it" % (path, what))
    rows = subprocess.run([args.loads, "--list"], capture_output=True, text=True, check=True).stdout.split() + list(programs.PROGRAMS)
    unknown = [r for r in args.only if r not in rows + ["boot"]]
    if unknown:
        sys.exit("bench: no row named %s; there are: boot %s" % (", ".join(unknown), " ".join(rows)))
    if args.only:
        rows = [r for r in rows if r in args.only]
    if args.boot_only:
        rows = []
    with tempfile.TemporaryDirectory() as tmp:
        initrd, inputs = os.path.join(tmp, "initrd"), os.path.join(tmp, "inputs")
        os.mkdir(inputs)
        commands, files = programs.prepare([r for r in rows if r in programs.PROGRAMS], inputs)
        rows = [r for r in rows if r in commands or r not in programs.PROGRAMS]
        make_initramfs(args, rows, commands, files, inputs, initrd)
        vms = list(contestants(args, initrd))
        results = {}
        bad = []
        for i in range(args.rounds):
            print("round %d of %d" % (i + 1, args.rounds), file=sys.stderr)
            for r, v in run_native(args, rows, commands, inputs).items():
                results.setdefault("native", {}).setdefault(r, []).append(v)
            for name, command in vms:
                got, boot = run_vm(command, args.timeout)
                results.setdefault(name, {}).setdefault("boot", []).append((boot, ""))
                for r, v in got.items():
                    results[name].setdefault(r, []).append(v)
        shown = ["boot"] + rows
        for r in rows:
            sums = {v[1] for c in results.values() for v in c.get(r, [])}
            if len(sums) > 1:
                bad.append("%s: checksums differ: %s" % (r, " ".join(sorted(sums))))
        print("host: %s, Linux %s, %d CPUs; ns per operation (boot: seconds to init), medians of %d" %
              (platform.processor() or platform.machine(), platform.release(), os.cpu_count(), args.rounds))
        table(results, shown)
        if args.json:
            with open(args.json, "w") as f:
                json.dump({"rounds": args.rounds, "commands": dict(vms), "host": platform.uname()._asdict(), "results": results, "bad": bad}, f, indent=1)
        for b in bad:
            print("WRONG " + b)
        sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
