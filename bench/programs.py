# SPDX-License-Identifier: Apache-2.0
"""Loads that are not ours: programs of Debian's packages on real input, the same files on the host and in each guest.

A row is skipped, and said to be, where its program is not installed. The program reads
its standard input from a file and its output's checksum must be the same everywhere.
"""
import os
import re
import shutil
import subprocess

SQL = """create table t(a integer, b text);
insert into t with recursive n(x) as (values(1) union all select x+1 from n where x<500000) select (x*7919)%100003, hex(x*31) from n;
create index i on t(b);
select count(distinct a), sum(a), max(b) from t;
select b, count(*) c, sum(a) from t group by substr(b, 1, 2) order by c desc, b limit 20;
select count(*) from t x join t y on x.b = y.b where x.a < 3000;
"""
PYTHON = """import hashlib, json
def primes(n):
    sieve = bytearray([1]) * n
    return [i for i in range(2, n) if sieve[i] and not sieve.__setitem__(slice(i * i, n, i), bytes(len(range(i * i, n, i))))]
words = {}
for i in range(2000000):
    k = 'w%d' % (i * i % 5003)
    words[k] = words.get(k, 0) + i
text = json.dumps(sorted(words.items()))
print(len(primes(5000000)), hashlib.sha256(text.encode()).hexdigest(), sum(len(str(3 ** i)) for i in range(4000)))
"""
SHELL = "i=0; while [ $i -lt 300 ]; do seq 1 200 | sort -rn | sed s/1/x/ | head -n 3; i=$((i+1)); done\n"


def source_text():
    """A file of Lodge's own, preprocessed."""
    top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    command = ["gcc", "-E", "-P", "-I" + os.path.join(top, "src"), "-D_GNU_SOURCE", os.path.join(top, "src/cpu/x86/exec_control.c")]
    return subprocess.run(command, capture_output=True, check=True).stdout


def compressible(size):
    """Bytes to compress: this Python's library as text."""
    library, out, have = os.path.dirname(os.__file__), [], 0
    for name in sorted(os.listdir(library)):
        if name.endswith(".py") and have < size:
            with open(os.path.join(library, name), "rb") as f:
                out.append(f.read())
            have += len(out[-1])
    return b"".join(out)[:size]


def compiler():
    done = subprocess.run(["gcc", "-print-prog-name=cc1"], capture_output=True, text=True) if shutil.which("gcc") else None
    return done.stdout.strip() if done else None


def python_files():
    lib = subprocess.run(["/usr/bin/python3", "-c", "import os; print(os.path.dirname(os.__file__))"], capture_output=True, text=True, check=True).stdout.strip()
    return [os.path.join(d, f) for d, _, files in os.walk(lib) for f in files
            if not re.search("/(test|idlelib|tkinter|lib2to3|ensurepip|config-[^/]*)(/|$)", d) and (d.count("/") < 6 or "json" in d or "dynload" in d or "encodings" in d)]


# row: program, arguments, what makes its input, other files it needs
PROGRAMS = {
    "7zip": (lambda: shutil.which("7zz"), ["a", "-txz", "-mmt1", "-an", "-si", "-so"], lambda: compressible(3000000), None),
    "zstd": (lambda: shutil.which("zstd"), ["-12", "-c", "--single-thread"], lambda: compressible(8000000), None),
    "unzstd": (lambda: shutil.which("zstd"), ["-d", "-c"], lambda: subprocess.run(["zstd", "-q", "-c"], input=compressible(8000000) * 8, capture_output=True, check=True).stdout, None),
    "sha512": (lambda: shutil.which("openssl"), ["dgst", "-sha512"], lambda: compressible(8000000) * 8, None),
    "gcc": (compiler, ["-quiet", "-fpreprocessed", "-O2", "-o", "-", "-"], source_text, None),
    "python": (lambda: "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else None, ["-I", "-S", "-"], PYTHON.encode, python_files),
    "sqlite": (lambda: shutil.which("sqlite3"), [":memory:"], SQL.encode, None),
    "shell": (lambda: shutil.which("busybox"), ["sh"], SHELL.encode, None),
}


def prepare(rows, directory):
    """Write each row's input to directory/ROW.in; returns {row: command} and the set of files that a guest needs besides."""
    commands, files = {}, set()
    for row in rows:
        find, arguments, make_input, more = PROGRAMS[row]
        program = find()
        if not program:
            print("%s is skipped: its program is not installed" % row)
            continue
        with open(os.path.join(directory, row + ".in"), "wb") as f:
            f.write(make_input())
        commands[row] = [program] + arguments
        files.update([program] + (more() if more else []))
        binaries = [program] + ([f for f in more() if f.endswith(".so")] if more else [])
        text = subprocess.run(["ldd", *binaries], capture_output=True, text=True).stdout
        files.update(path.rstrip(":") for path in re.findall(r"(/\S+)", text))
    return commands, files


def copy_files(files, top):
    for file in files:
        os.makedirs(os.path.dirname(top + file), exist_ok=True)
        shutil.copy(file, top + file)
