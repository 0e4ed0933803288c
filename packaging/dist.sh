#!/bin/sh
# Make BUILD/NAME.tar.gz of what git tracks (of everything, where this is no git clone) and configure: dist.sh NAME BUILD
#
# The same tree gives the same bytes: order, owners, modes and times are set, the time to that of the last commit.
set -eu
name=$1 build=$2
tree=$build/dist/$name

# in a clone or a worktree; git may be missing, or refuse a clone that is somebody else's
if [ -e .git ] && git ls-files >/dev/null 2>&1; then
	: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}"
	# without what was deleted and not committed yet
	list() { git ls-files --cached | while read -r f; do [ ! -e "$f" ] || printf '%s\n' "$f"; done; }
	untracked=$(git ls-files --others --exclude-standard | sed 's/^/    /')
	[ -z "$untracked" ] || printf 'dist: not tracked by git, so not in the tarball:\n%s\n' "$untracked" >&2
else
	: "${SOURCE_DATE_EPOCH:=$(stat -c %Y configure.ac)}"
	list()
	{
		find . \( -path ./build -o -path "./${build#./}" -o -name .git -o -name node_modules -o -name __pycache__ -o -path ./autom4te.cache \
			-o -path ./debian -o -path ./.pc \) -prune -o -type f ! -name config.mk ! -name config.log \
			! -name config.status ! -name '*~' -print | sed 's,^\./,,'
	}
fi

rm -rf "$build/dist"
mkdir -p "$tree"
{ list; echo configure; } | sort -u | tar -cf - -T - | tar -xf - -C "$tree"
[ -f "$tree/Makefile" ] || { echo "dist: git tracks no Makefile: commit first" >&2; exit 1; }

# only the owner's executable bit is kept: the rest depends on the umask of whoever cloned
chmod -R u+rwX,go+rX,go-w "$tree"
tar -C "$build/dist" --sort=name --format=gnu --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf - "$name" |
	gzip -9n >"$build/$name.tar.gz.new"
mv "$build/$name.tar.gz.new" "$build/$name.tar.gz"
rm -rf "$build/dist"
echo "$build/$name.tar.gz"
