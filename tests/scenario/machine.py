"""A machine of its own for a test: the packages are installed there, and systemd runs them, while the host stays as it is.

The root file system is an overlay of the host's, whose upper layer is in memory; mounts, processes, network, host name and
control groups are namespaces of their own. Process 1 is the host's systemd, started with next to nothing to do, or, with
systemd=False, a process that only waits: a container without a service manager. All of it ends with the process
that this test started, and nothing of it was ever written to the host's disk.

It takes root and a kernel that allows it; Machine() skips the test where that is not so, in CI too: no package could bring it.
"""

import contextlib
import os
import pathlib
import shutil
import subprocess

from harness import FACTOR, Skip, contains, wait

# What the machine's first process runs: $1 is an empty folder, $2 systemd or nothing.
BOOT = r"""
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 none "$1"
cd "$1"
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir="$1/upper",workdir="$1/work" root
cd root
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
# the kernel is the host's
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
[ -z "$2" ] || mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 none dev
for node in null zero full random urandom tty; do
    touch dev/$node
    mount --bind /dev/$node dev/$node
done
mkdir dev/pts dev/shm dev/mqueue
ln -s pts/ptmx dev/ptmx
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs -o mode=1777 none dev/shm
mount -t tmpfs -o mode=755 none run
mount -t tmpfs -o mode=1777 none tmp
# nothing of what the host starts, and no service but ours
rm -rf etc/systemd/system/*.wants etc/systemd/system/*.requires usr/lib/systemd/system/*.wants
for target in sysinit basic network-online; do
    printf '[Unit]\nDescription=%s\n' $target >etc/systemd/system/$target.target
done
echo 'Wants=systemd-journald.service' >>etc/systemd/system/sysinit.target
printf '[Unit]\nDescription=test\nWants=sysinit.target\n' >etc/systemd/system/test.target
printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\n' >etc/systemd/journald.conf
# nor of what only costs time after an installation
rm -f usr/sbin/policy-rc.d var/lib/man-db/auto-update
pivot_root . mnt
umount -l /mnt
# as systemd itself does where it boots a machine: credentials come by mounts
mount --make-rshared /
exec </dev/null >/dev/null 2>&1
if [ -n "$2" ]; then
    exec setpriv --bounding-set=-sys_module,-sys_time,-sys_boot,-sys_rawio env -i container=wsrelayd-test PATH=/usr/sbin:/usr/bin:/sbin:/bin "$2" --system --unit=test.target --log-target=journal
fi
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin sleep 100000
"""

LOOPBACK_UP = """
import fcntl, socket, struct
s = socket.socket()
fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 1))
"""

SYSTEMD = next((p for p in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd") if os.access(p, os.X_OK)), None)


def cannot(reason):
    raise Skip(f"no machine can be made here: {reason}")


def cgroup_folder():
    """This process's own control group in the unified hierarchy."""
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        mount = next((line.split()[1] for line in mounts if line.split()[2] == "cgroup2"), None)
    with open("/proc/self/cgroup", encoding="utf-8") as own:
        path = next((line.strip()[3:] for line in own if line.startswith("0::")), None)
    if mount is None or path is None:
        cannot("there is no cgroup2")
    return pathlib.Path(mount + path)


class Machine:
    def __init__(self, t, systemd=True):
        self.t = t
        if os.geteuid() != 0:
            cannot("that needs root")
        t.need("unshare", "nsenter")
        if systemd and SYSTEMD is None:
            t.skip("systemd is not installed")
        self._cgroup = None
        if systemd:
            self._make_cgroup()
        self._start(SYSTEMD if systemd else "")
        if systemd:
            wait(self._is_up, 20, "the machine's systemd is up")
        else:
            self.host_run("/usr/bin/python3", "-c", LOOPBACK_UP)

    def _make_cgroup(self):
        folder = cgroup_folder() / f"wsrelayd-test-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError as error:
            cannot(f"{folder}: {error.strerror}")
        self._cgroup = folder
        self.t.at_end(self._remove_cgroup, late=True)

    def _remove_cgroup(self):
        def removed():
            for path, _, _ in os.walk(self._cgroup, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(path)
            return not self._cgroup.exists()

        wait(removed, 20, "the machine's control groups are empty")

    def _start(self, init):
        folder = self.t.tmp / "machine"
        folder.mkdir()
        log = self.t.tmp / "machine.log"
        enter = f"echo $$ >'{self._cgroup}/cgroup.procs' && " if self._cgroup else ""
        flags = "-m -p -f -n -u -i --kill-child=KILL" + (" -C" if self._cgroup else "")
        with open(log, "wb") as out:
            process = self.t.spawn(
                ["sh", "-c", f'{enter}exec unshare {flags} sh -c \'exec sh -c "$BOOT" boot "$1" "$2"\' x "$1" "$2"', "x", folder, init],
                stdout=out, stderr=out, env={**os.environ, "BOOT": BOOT},
            )
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")

        def first():
            """The process 1, when it is done with BOOT."""
            if process.poll() is not None:
                cannot(f"unshare, mount or pivot_root: {log.read_text(errors='replace').strip() or process.returncode}")
            pids = children.read_text().split() if children.exists() else []
            if not pids:
                return None
            with contextlib.suppress(OSError):
                name = pathlib.Path(f"/proc/{pids[0]}/comm").read_text().strip()
                return int(pids[0]) if name in ("systemd", "sleep") else None
            return None

        self.pid = wait(first, 20, "the machine's process 1")

    def _is_up(self):
        return self.run("systemctl", "is-active", "test.target", check=False).returncode == 0

    # ---- inside

    def run(self, *argv, check=True, user=None, timeout=60, env=None, stdin=None):
        """Runs a program in the machine to its end; returns its CompletedProcess, with both outputs in stdout."""
        whole = ["nsenter", "-t", str(self.pid), "-m", "-p", "-n", "-u", "-i", "-r", "-w"] + (["-C"] if self._cgroup else [])
        if user:
            whole += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return self._call(whole + [str(a) for a in argv], check, timeout, env, stdin)

    def host_run(self, *argv, check=True, timeout=60):
        """The same with the host's files, in the machine's network."""
        return self._call(["nsenter", "-t", str(self.pid), "-n"] + [str(a) for a in argv], check, timeout, None, None)

    def spawn(self, *argv, **options):
        """Starts a program with the host's files in the machine's network; it ends with the test."""
        return self.t.spawn(["nsenter", "-t", str(self.pid), "-n", *argv], **options)

    def start(self, *argv, user=None, **options):
        """Starts a program in the machine; it ends with the test."""
        whole = ["nsenter", "-t", str(self.pid), "-m", "-p", "-n", "-u", "-i", "-r", "-w"]
        if user:
            whole += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return self.t.spawn(whole + [str(a) for a in argv], **options)

    @staticmethod
    def _call(argv, check, timeout, env, stdin):
        clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **(env or {})}
        done = subprocess.run(argv, stdin=subprocess.DEVNULL if stdin is None else None, input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", env=clean, timeout=timeout * FACTOR,
                              check=False)
        if check:
            assert done.returncode == 0, f"{' '.join(argv)}: exit status {done.returncode}\n{done.stdout}"
        return done

    def path(self, inside):
        """The host's name of a file in the machine."""
        return pathlib.Path(f"/proc/{self.pid}/root{inside}")

    def exists(self, inside):
        return os.path.lexists(self.path(inside))

    def read(self, inside):
        return self.path(inside).read_text(errors="replace")

    def write(self, inside, text, mode=0o644):
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def put(self, *files):
        """Copies files of the host into the machine's /tmp; returns their names there."""
        for file in files:
            shutil.copy(file, self.path("/tmp"))
        return [f"/tmp/{pathlib.Path(file).name}" for file in files]

    # ---- systemd's view of the service

    def show(self, name, unit="wsrelayd.service"):
        return self.run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()

    def journal(self, *options):
        return self.run("journalctl", "--no-pager", "-u", "wsrelayd", *options).stdout

    def wait_journal(self, *parts):
        """Waits until the journal has all of these; it comes to lines a little later than they are written."""
        wait(lambda: all(part in self.journal() for part in parts), what=f"{parts} in the journal")

    def main_pid(self):
        """The daemon's main process, as the host numbers it."""
        inside = int(self.show("MainPID"))
        assert inside > 0, self.run("systemctl", "status", "wsrelayd", check=False).stdout
        return self.host_pid(inside)

    def host_pid(self, inside):
        namespace = os.readlink(f"/proc/{self.pid}/ns/pid")
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{name}/ns/pid") != namespace:
                    continue
                status = pathlib.Path(f"/proc/{name}/status").read_text()
                if status.split("NSpid:")[1].splitlines()[0].split()[-1] == str(inside):
                    return int(name)
        raise AssertionError(f"there is no process {inside} in the machine")

    # ---- the gateway as a client sees it

    def echo(self, text="hello", url="ws://127.0.0.1:8080/ws", *options):
        """A message and its echo, by the installed wsdial."""
        done = self.run("wsdial", "--timeout", "10", *options, "-n", "1", "-m", text, url)
        contains(done.stdout, text)

    def page(self, url="http://127.0.0.1:8080/"):
        return self.host_run("curl", "-sS", "--fail", "--max-time", "10", url).stdout
