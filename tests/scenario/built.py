"""The packages of this tree, built once for all tests: below build/packages, and again when a file that they are made of has changed.

They are built as by a stranger: from the release tarball, unpacked elsewhere, by `make deb` and `make rpm`, as nobody where
the tests run as root. Building runs no tests, which make check does anyway.
"""

import fcntl
import os
import pathlib
import shutil
import subprocess

from harness import FACTOR, REPO, Skip

FOLDER = REPO / "build/packages"
NOBODY = 65534
DEBIAN = os.path.exists("/etc/debian_version")
IGNORED = {"build", "tests", ".git", "node_modules", "__pycache__", "autom4te.cache"}


def version():
    for line in (REPO / "configure.ac").read_text().splitlines():
        if line.startswith("AC_INIT(["):
            return line.split("[")[2].split("]")[0]
    raise AssertionError("configure.ac has no AC_INIT")


def call(argv, cwd, env=None, timeout=600, user=None):
    """Runs it to its end, which has to be a good one; returns what it printed. user: this one, where we are root."""
    argv = [str(a) for a in argv]
    if user is not None and os.geteuid() == 0:
        argv = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *argv]
    # the outer make's job server and options are not for these
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "CFLAGS", "CPPFLAGS", "LDFLAGS")}
    done = subprocess.run(argv, cwd=cwd, env={**clean, "LC_ALL": "C.UTF-8", **(env or {})}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          timeout=timeout * FACTOR, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: exit status {done.returncode}\n{done.stdout[-6000:]}"
    return done.stdout


def newest():
    """When a file of the tree was last changed; what is not installed does not count."""
    latest = 0
    for folder, folders, names in os.walk(REPO):
        folders[:] = [f for f in folders if f not in IGNORED]
        latest = max([latest, *(os.lstat(os.path.join(folder, n)).st_mtime for n in names if not n.startswith("config."))])
    return latest


class Built:
    """The files below build/packages."""

    def __init__(self):
        self.version = version()
        self.tarball = FOLDER / f"wsrelayd-{self.version}.tar.gz"
        self.tree = FOLDER / "tree"  # as configured and built for the .deb

    def one(self, pattern):
        found = sorted(FOLDER.glob(pattern))
        assert len(found) == 1, f"{pattern}: {found}"
        return found[0]

    @property
    def deb(self):
        return self.one("deb/wsrelayd_*.deb")

    @property
    def changes(self):
        return self.one("deb/*.changes")

    @property
    def rpm(self):
        return self.one("rpm/RPMS/*/wsrelayd-[0-9]*.rpm")

    @property
    def srpm(self):
        return self.one("rpm/SRPMS/*.rpm")

    @property
    def spec(self):
        return self.one("rpm/SPECS/*.spec")


def packages(t):
    """Builds them, unless they are there and as new as the tree; returns Built. Other tests wait meanwhile."""
    if not DEBIAN:
        raise Skip("packages are built and tested on Debian only, the .rpm too")
    t.need("dpkg-buildpackage", "dh", "rpmbuild", "setpriv")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done, failed = FOLDER / "done", FOLDER / "failed"
        latest = newest()
        if failed.exists() and failed.stat().st_mtime == latest and failed.read_text().startswith(f"{os.getppid()}\n"):
            raise AssertionError("the packages could not be built: an earlier test says why")
        if not done.exists() or done.stat().st_mtime < latest:
            done.unlink(missing_ok=True)
            failed.write_text(f"{os.getppid()}\n")  # one process runs all tests
            os.utime(failed, (latest, latest))
            build(t)
            failed.unlink()
            done.touch()
            os.utime(done, (latest, latest))
    return Built()


def build(t):
    call(["make", "dist", "BUILD=build/packages"], REPO)
    work = t.tmp / "work"
    work.mkdir()
    call(["tar", "-xzf", Built().tarball, "-C", work, "--no-same-owner"], REPO)
    if os.geteuid() == 0:
        call(["chown", "-R", f"{NOBODY}:{NOBODY}", work], REPO)
    tree = work / f"wsrelayd-{version()}"
    # nobody has no compiler's cache; how fast the .rpm's programs are does not matter
    (work / ".rpmmacros").write_text("%optflags -O0\n")
    env = {"HOME": str(work), "CCACHE_DISABLE": "1", "DEB_BUILD_OPTIONS": "nocheck", "RPMBUILD_OPTIONS": "--nodeps --nocheck"}
    call(["make", "deb"], tree, env, user=NOBODY)
    call(["make", "rpm"], tree, env, user=NOBODY)
    for name in ("deb", "rpm", "tree"):
        shutil.rmtree(FOLDER / name, ignore_errors=True)
    shutil.move(tree / f"build/deb/wsrelayd-{version()}", FOLDER / "tree")
    shutil.move(tree / "build/deb", FOLDER / "deb")
    shutil.move(tree / "build/rpm", FOLDER / "rpm")


def older_deb(t, deb):
    """A package of version 0.0.9 of the same content, but for its configuration, which says something else, and a file
    that the newer one has not any more."""
    folder = t.tmp / "older"
    call(["dpkg-deb", "-R", deb, folder], REPO)
    control = folder / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {version()}-1", "Version: 0.0.9-1"))
    ini = folder / "etc/wsrelayd/wsrelayd.ini"
    ini.write_text("# what version 0.0.9 said\n" + ini.read_text())
    (folder / "usr/share/wsrelayd/of-old").write_text("gone with the next version\n")
    result = t.tmp / "wsrelayd_0.0.9-1.deb"
    call(["dpkg-deb", "-b", "--root-owner-group", folder, result], REPO)
    return pathlib.Path(result)
