# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: running lodge on pipes and on a terminal, and counting checks.

A test calls check() for each thing that it checks and ends with finish(), whose last line run_checks adds up.
Times here are only limits on how long a machine that hangs may hold up the tests.
"""
import json, os, pty, re, select, shutil, signal, struct, subprocess, sys, tempfile, termios, time, fcntl

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, os.environ.get("BUILD", "build"))
LODGE = os.path.join(BUILD, "lodge")
GUEST = os.environ.setdefault("LODGE_GUEST_DIR", os.path.join(TOP, "build", "guest"))
SANITIZED = os.path.basename(BUILD) in ("asan", "tsan")
PATIENCE = float(os.environ.get("E2E_PATIENCE", "600" if SANITIZED else "120"))

counts = {"ok": 0, "FAIL": 0, "skip": 0}
work = tempfile.mkdtemp(prefix="lodge-e2e-")


class Hung(Exception):
    pass


def guest(*names):
    """Paths of files below build/guest; ends the test if one is missing."""
    paths = [os.path.join(GUEST, name) for name in names]
    for path in paths:
        if not os.path.exists(path):
            skip_all(f"{path} is missing; `make guest` or scripts/fetch_guest gets it")
    return paths if len(paths) > 1 else paths[0]


def available(*names):
    """The same for one part of a test, which is skipped if one is missing."""
    for name in names:
        if not os.path.exists(os.path.join(GUEST, name)):
            skip(name.split("/")[0], f"{os.path.join(GUEST, name)} is missing; scripts/fetch_guest gets it")
            return False
    return True


def scratch(name, data=None):
    path = os.path.join(work, name)
    if data is not None:
        with open(path, "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())
    return path


def say(word, what, detail=""):
    counts[word] += 1
    print(f"{word:4} {what}" + (f": {detail}" if detail else ""), flush=True)


def check(what, good, detail=""):
    say("ok" if good else "FAIL", what, "" if good else str(detail))
    return good


def check_equal(what, got, expected, detail=""):
    return check(what, got == expected, f"got {got!r}, expected {expected!r}. {detail}")


def skip(what, why):
    say("skip", what, why)


def skip_all(why):
    shutil.rmtree(work, ignore_errors=True)
    print(why)
    sys.exit(77)


def finish():
    shutil.rmtree(work, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    sys.exit(1 if counts["FAIL"] else 0)


def with_programs(name, *programs, files=(), placed={}):
    """An initramfs with programs of this host, other files and the libraries of both besides Lodge's own;
    `placed` files go to the path behind them (the guest mounts something else on some of the host's directories). Ends the test if one is missing."""
    root = tempfile.mkdtemp(dir=work)
    paths = [shutil.which(program) or skip_all(f"{program} is missing; scripts/setup installs it") for program in programs] + list(files)
    binaries = [path for path in paths if path.endswith(".so") or path not in files]
    libraries = set(re.findall(r"(/\S+)", subprocess.run(["ldd", *binaries], capture_output=True, text=True).stdout))
    for file in paths + [library.rstrip(":") for library in libraries]:
        to = root + file
        os.makedirs(os.path.dirname(to), exist_ok=True)
        shutil.copy(file, to)
    for file, to in placed.items():
        shutil.copy(file, root + to)
    names = subprocess.run(["find", ".", "-print0"], cwd=root, capture_output=True, check=True).stdout
    packed = subprocess.run(["cpio", "-0", "-o", "-H", "newc", "--quiet"], cwd=root, input=names, capture_output=True, check=True).stdout
    with open(guest("initramfs.cpio"), "rb") as f:
        return scratch(name, f.read() + packed)


class Result:
    """How a lodge ended: .status as a shell sees it, .out and .err as bytes, .json of --status-file (None: none was written)."""

    def __init__(self, returncode, out, err, status_file):
        self.status = returncode if returncode >= 0 else 128 - returncode
        self.killed_by = -returncode if returncode < 0 else None
        self.out, self.err, self.json = out, err, None
        if status_file and os.path.exists(status_file):
            with open(status_file) as f:
                text = f.read()
            self.json = json.loads(text) if text else None

    @property
    def text(self):
        return self.err.decode(errors="replace")

    @property
    def tail(self):
        return f"status {self.status}, output {self.out[-300:]!r}, messages {self.err[-300:]!r}"


def status_option():
    fd, path = tempfile.mkstemp(suffix=".json", dir=work)
    os.close(fd)
    return path


def lodge(*args, stdin=b"", patience=PATIENCE, env=None, status_file=True):
    """Run to the end. `lodge run` gets a --status-file."""
    path = status_option() if args[:1] == ("run",) and status_file else None
    words = [LODGE, *args[:1], *(["--status-file", path] if path else []), *args[1:]]
    try:
        p = subprocess.run(words, input=stdin, capture_output=True, timeout=patience, env={**os.environ, **(env or {})})
    except subprocess.TimeoutExpired as e:
        raise Hung(f"{' '.join(words)}: no end after {patience} s; output {(e.stdout or b'')[-300:]!r}, messages {(e.stderr or b'')[-300:]!r}")
    return Result(p.returncode, p.stdout, p.stderr, path)


class Machine:
    """A lodge run in the background whose console is on pipes, or with terminal=True on a pseudo-terminal."""

    def __init__(self, *args, terminal=False, env=None, program=None):
        self.path = status_option()
        words = [*program, *args] if program else [LODGE, "run", "--status-file", self.path, *args]
        self.words = " ".join(words)
        self.err_path = os.path.join(work, os.path.basename(self.path) + ".err")
        self.seen = b""      # all output
        self.at = 0          # where expect() goes on
        env = {**os.environ, "TERM": "vt220", **(env or {})}
        if terminal:
            self.master, self.slave = pty.openpty()
            fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
            self.before = termios.tcgetattr(self.slave)
            self.child = subprocess.Popen(words, stdin=self.slave, stdout=self.slave, stderr=self.slave, env=env, start_new_session=True,
                                          preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
            self.read_fd = self.write_fd = self.master
        else:
            self.master = None
            with open(self.err_path, "wb") as err:
                self.child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, env=env)
            self.read_fd, self.write_fd = self.child.stdout.fileno(), self.child.stdin.fileno()

    def read_some(self, seconds):
        """False at the end of the output."""
        ready, _, _ = select.select([self.read_fd], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.read_fd, 65536)
        except OSError: # EIO: the other side of the terminal is closed
            data = b""
        self.seen += data
        return bool(data)

    def expect(self, pattern, patience=PATIENCE):
        """Wait until the output since the last match has @pattern; returns the match."""
        limit = time.monotonic() + patience
        while True:
            m = re.search(pattern.encode() if isinstance(pattern, str) else pattern, self.seen[self.at:], re.S)
            if m:
                self.at += m.end()
                return m
            more = time.monotonic() < limit and self.read_some(0.5 if self.master is not None else 2)
            if self.child.poll() is not None or not more:
                if self.master is not None or not more:
                    self.drain()
                m = re.search(pattern.encode() if isinstance(pattern, str) else pattern, self.seen[self.at:], re.S)
                if m:
                    continue
                why = "it ended" if self.child.poll() is not None else "nothing like it came"
                text = self.seen[-600:]
                self.kill()
                raise Hung(f"{self.words}: waited for {pattern!r}; {why}; output {text!r}, messages {self.messages()[-300:]!r}")

    def drain(self):
        while select.select([self.read_fd], [], [], 0.1)[0] and self.read_some(0):
            pass

    def send(self, data):
        os.write(self.write_fd, data.encode() if isinstance(data, str) else data)

    def signal(self, number):
        self.child.send_signal(number)

    def messages(self):
        if self.master is not None:
            return self.seen
        with open(self.err_path, "rb") as f:
            return f.read()

    def settings_restored(self):
        return termios.tcgetattr(self.slave) == self.before

    def kill(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()

    def wait(self, patience=PATIENCE):
        """Read to the end; returns a Result."""
        limit = time.monotonic() + patience
        while self.child.poll() is None:
            if time.monotonic() > limit:
                self.kill()
                raise Hung(f"{self.words}: no end after {patience} s; output {self.seen[-600:]!r}, messages {self.messages()[-300:]!r}")
            self.read_some(0.2)
        self.drain()
        return Result(self.child.returncode, self.seen, self.messages(), self.path)

    def close(self):
        self.kill()
        if self.master is not None:
            os.close(self.master)
            os.close(self.slave)
        else:
            self.child.stdout.close()
            try:
                self.child.stdin.close()
            except BrokenPipeError:
                pass


def guarded(what, function, *args, **kwargs):
    """Run one part of a test; a machine that hangs fails its check and not the rest."""
    try:
        return function(*args, **kwargs)
    except Hung as e:
        say("FAIL", what, str(e))
        return None


def chosen(name):
    """Is this part wanted? All are, or those named on the command line."""
    return len(sys.argv) < 2 or name in sys.argv[1:]
