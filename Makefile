# wsrelayd: GNU make. `make help` lists the targets.
#
# config.mk, which ./configure writes, holds the compiler and the paths; where it is missing it is made first. Every
# object, archive and program goes below $(BUILD). A build of another flavour stands in a folder of its own, beside the
# plain one: make BUILD=build/asan SANITIZE=address,undefined

BUILD = build
PORT ?= 8080
FUZZ_SECONDS = 60

INSTALL = install
INSTALL_PROGRAM = $(INSTALL) -m 755
INSTALL_DATA = $(INSTALL) -m 644

.DEFAULT_GOAL = all
.DELETE_ON_ERROR:
.SUFFIXES:

# these work in a tree that was never configured
UNCONFIGURED_GOALS = help clean distclean format configure dist deb rpm
ifneq ($(filter-out $(UNCONFIGURED_GOALS),$(or $(MAKECMDGOALS),all)),)
include config.mk
else
VERSION := $(shell sed -n 's/^AC_INIT(\[wsrelayd\], \[\(.*\)\])$$/\1/p' configure.ac)
endif

configure: configure.ac
	@command -v autoconf >/dev/null 2>&1 || { \
		echo 'autoconf is needed to make configure (Debian: autoconf, Fedora: autoconf)' >&2; exit 1; }
	autoconf
	@rm -rf autom4te.cache

config.mk: configure config.mk.in
	@if [ -x config.status ]; then \
		./config.status --recheck && ./config.status; \
	else \
		./configure; \
	fi

# ---- flavours

ifneq ($(SANITIZE),)
FLAVOUR_CFLAGS = -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer -O1
FLAVOUR_LDFLAGS = -fsanitize=$(SANITIZE)
else ifneq ($(COVERAGE),)
FLAVOUR_CFLAGS = --coverage -O0
FLAVOUR_LDFLAGS = --coverage
else
PLAIN_CPPFLAGS = $(FORTIFY)
PLAIN_CFLAGS = $(HARDENING)
endif

# what the flavour sets comes after the user's CFLAGS where it has to win (-O), hardening before, so that it can be overridden
ALL_CPPFLAGS = -Isrc -D_GNU_SOURCE -DWSRELAYD_VERSION='"$(VERSION)"' -DSYSCONFDIR='"$(sysconfdir)"' \
	-DLOCALSTATEDIR='"$(localstatedir)"' -DPKGDATADIR='"$(pkgdatadir)"' $(if $(HAVE_SYSTEMD),-DHAVE_LIBSYSTEMD=1) \
	$(DEPS_CFLAGS) $(PLAIN_CPPFLAGS) $(CPPFLAGS)
ALL_CFLAGS = -std=c11 -pthread -fPIE $(WARNINGS) $(PLAIN_CFLAGS) $(CFLAGS) $(FLAVOUR_CFLAGS)
ALL_LDFLAGS = -pthread -pie $(HARDENING_LDFLAGS) $(PLAIN_CFLAGS) $(CFLAGS) $(LDFLAGS) $(FLAVOUR_LDFLAGS)

pkgsysconfdir = $(sysconfdir)/wsrelayd
pkgdatadir = $(datadir)/wsrelayd

# ---- sources

# a program is built where its main source exists; all other sources are the library's
wsrelayd_MAIN = src/daemon/main.c
wsrelayctl_MAIN = src/tools/wsrelayctl.c
wsdial_MAIN = src/tools/wsdial.c
PROGRAM_NAMES := $(foreach p,wsrelayd wsrelayctl wsdial,$(if $(wildcard $($p_MAIN)),$p))
MAINS := $(wsrelayd_MAIN) $(wsrelayctl_MAIN) $(wsdial_MAIN)
PROGRAMS := $(PROGRAM_NAMES:%=$(BUILD)/%)

LIB = $(BUILD)/libwsrelayd.a
LIB_SOURCES := $(filter-out $(MAINS),$(sort $(wildcard src/*/*.c src/*/*/*.c)))
LIB_OBJECTS := $(LIB_SOURCES:%.c=$(BUILD)/obj/%.o)

UNIT_SOURCES := $(sort $(wildcard tests/unit/test_*.c))
UNIT_HELPERS := $(filter-out $(UNIT_SOURCES),$(sort $(wildcard tests/unit/*.c)))
UNIT_HELPER_OBJECTS := $(UNIT_HELPERS:%.c=$(BUILD)/obj/%.o)
UNIT_PROGRAMS := $(UNIT_SOURCES:%.c=$(BUILD)/%)

FUZZ_SOURCES := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_NAMES := $(FUZZ_SOURCES:tests/fuzz/fuzz_%.c=%)
FUZZ_HELPERS := $(filter-out $(FUZZ_SOURCES) tests/fuzz/replay_main.c,$(sort $(wildcard tests/fuzz/*.c)))
FUZZ_HELPER_OBJECTS := $(FUZZ_HELPERS:%.c=$(BUILD)/obj/%.o)
REPLAY_PROGRAMS := $(FUZZ_NAMES:%=$(BUILD)/tests/fuzz/replay_%)
FUZZ_PROGRAMS := $(FUZZ_NAMES:%=$(BUILD)/tests/fuzz/fuzz_%)

BENCH_SOURCES := $(sort $(wildcard tests/bench/*.c))
BENCH_PROGRAMS := $(BENCH_SOURCES:%.c=$(BUILD)/%)

# what makes the daemon's allocations fail; never with a sanitizer of its own
SOAK_LIB = $(BUILD)/tests/soak/refuse.so

ALL_OBJECTS := $(LIB_OBJECTS) $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard $(MAINS)) $(UNIT_SOURCES) $(UNIT_HELPERS) \
	$(FUZZ_SOURCES) $(FUZZ_HELPERS) tests/fuzz/replay_main.c $(BENCH_SOURCES))

# ---- building

all: $(LIB) $(PROGRAMS) $(if $(ENABLE_FUZZ),fuzz-build)

# V=1 shows the commands
ifeq ($(V),1)
SAY = @:
Q =
else
SAY = @printf '  %-5s %s\n'
Q = @
endif

$(BUILD)/obj/%.o: %.c $(BUILD)/obj/flags
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) $(ALL_CPPFLAGS) $(OBJ_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/obj/tests/unit/%.o: OBJ_CPPFLAGS = -Itests/unit $(CHECK_CFLAGS)

# the archive is made anew, and also when a source file went away
$(LIB): $(LIB_OBJECTS) $(BUILD)/obj/sources
	$(SAY) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $(LIB_OBJECTS)

$(PROGRAMS): $(BUILD)/%: $(LIB)
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) $(DEPS_LIBS) $(LIBS)
$(foreach p,$(PROGRAM_NAMES),$(eval $(BUILD)/$p: $(BUILD)/obj/$($p_MAIN:.c=.o)))

$(UNIT_PROGRAMS): $(BUILD)/%: $(BUILD)/obj/%.o $(UNIT_HELPER_OBJECTS) $(LIB)
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) $(CHECK_LIBS) $(DEPS_LIBS) $(LIBS)

$(REPLAY_PROGRAMS): $(BUILD)/tests/fuzz/replay_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o \
		$(BUILD)/obj/tests/fuzz/replay_main.o $(FUZZ_HELPER_OBJECTS) $(LIB)
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) $(DEPS_LIBS) $(LIBS)

$(FUZZ_PROGRAMS): $(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(FUZZ_HELPER_OBJECTS) $(LIB)
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(LIB) $(DEPS_LIBS) $(LIBS)

$(BENCH_PROGRAMS): $(BUILD)/%: $(BUILD)/obj/%.o $(LIB)
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) $(DEPS_LIBS) $(LIBS)

$(SOAK_LIB): tests/soak/refuse.c $(BUILD)/obj/flags
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_CPPFLAGS) -std=c11 -O2 $(WARNINGS) -fPIC -shared -ftls-model=initial-exec -o $@ $< -ldl

# two files that change only with what they hold: the commands, on which every object depends, and the list of sources
$(BUILD)/obj/flags: export STAMP = $(CC) $(ALL_CPPFLAGS) $(CHECK_CFLAGS) $(ALL_CFLAGS)
$(BUILD)/obj/sources: export STAMP = $(LIB_SOURCES)
$(BUILD)/obj/flags $(BUILD)/obj/sources: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' "$$STAMP" | cmp -s - $@ || printf '%s\n' "$$STAMP" >$@

-include $(ALL_OBJECTS:.o=.d)

FORCE:
.SECONDARY: $(ALL_OBJECTS)

# ---- running and testing

# sub-makes use every processor, unless the caller said how many
NPROC := $(shell nproc 2>/dev/null || echo 1)
SUBMAKE = +$(MAKE) --no-print-directory $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(NPROC))
# what configure did not find may have been installed since: a sub-make reads what it finds now
look_again = $(if $1,,./config.status --recheck >/dev/null && ./config.status >/dev/null)
ASAN = BUILD=$(BUILD)/asan SANITIZE=address,undefined
TSAN = BUILD=$(BUILD)/tsan SANITIZE=thread
RUN_TESTS = tests/run-all

run: $(BUILD)/wsrelayd
	@WSRELAYD=$(BUILD)/wsrelayd exec sh packaging/demo.sh $(PORT)

check: check-build
	@$(RUN_TESTS) $(BUILD)

check-unit: check-build-unit
	@$(RUN_TESTS) unit:plain:$(BUILD) unit:asan:$(BUILD)/asan

check-fuzz: check-build-fuzz
	@$(RUN_TESTS) fuzz:asan:$(BUILD)/asan

check-scenario: check-build-scenario
	@$(RUN_TESTS) scenario:plain:$(BUILD) scenario:asan:$(BUILD)/asan scenario:tsan:$(BUILD)/tsan

check-lint: all
	@$(RUN_TESTS) lint:plain:$(BUILD)

# what a package build can count on: the plain build, and nothing from outside
check-plain: all unit-programs replay-programs
	@$(RUN_TESTS) unit:plain:$(BUILD) fuzz:plain:$(BUILD)

check-build:
	$(call look_again,$(HAVE_CHECK))
	$(SUBMAKE) all unit-programs bench-programs soak-programs
	$(SUBMAKE) $(ASAN) all unit-programs replay-programs soak-programs
	$(SUBMAKE) $(TSAN) all

check-build-unit:
	$(call look_again,$(HAVE_CHECK))
	$(SUBMAKE) unit-programs
	$(SUBMAKE) $(ASAN) unit-programs

check-build-fuzz:
	$(SUBMAKE) $(ASAN) replay-programs

check-build-scenario:
	$(SUBMAKE) all bench-programs
	$(SUBMAKE) $(ASAN) all
	$(SUBMAKE) $(TSAN) all

unit-programs: $(if $(HAVE_CHECK),$(UNIT_PROGRAMS),need-check)
need-check:
	@echo 'the unit tests need the library check (Debian: check, Fedora: check-devel)' >&2; exit 1
replay-programs: $(REPLAY_PROGRAMS)
fuzz-programs: $(FUZZ_PROGRAMS)
bench-programs: $(BENCH_PROGRAMS)
soak-programs: $(SOAK_LIB)

# clang's warnings are those of configure's compiler only where that is clang too, so here none but the usual are asked for
fuzz-build:
	$(call look_again,$(FUZZ_CC))
	@grep -q '^FUZZ_CC = .' config.mk || { echo 'make fuzz needs clang (Debian: clang, Fedora: clang compiler-rt)' >&2; exit 1; }
	$(SUBMAKE) BUILD=$(BUILD)/fuzz CC='$(or $(FUZZ_CC),clang)' SANITIZE=fuzzer-no-link,address,undefined WARNINGS=-Wall fuzz-programs

fuzz: fuzz-build
	@tests/fuzz/run $(BUILD)/fuzz $(FUZZ_SECONDS) $(FUZZ_NAMES)

bench: all
	$(SUBMAKE) bench-programs
	@WSRELAYD=$(BUILD)/wsrelayd BUILD=$(BUILD) tests/bench/run $(BENCH_ARGS)

soak: all soak-programs
	@SOAK_SECONDS=$(or $(SOAK_SECONDS),3600) $(RUN_TESTS) soak:plain:$(BUILD)

# all tests on an instrumented build, then which lines they reached
cover:
	$(SUBMAKE) BUILD=$(BUILD)/cover COVERAGE=yes all unit-programs replay-programs
	@find $(BUILD)/cover -name '*.gcda' -exec rm -f {} +
	-@$(RUN_TESTS) unit:cover:$(BUILD)/cover fuzz:cover:$(BUILD)/cover scenario:cover:$(BUILD)/cover
	@GCOV='$(GCOV)' tests/coverage $(BUILD)/cover

C_FILES = $(sort $(shell find src tests -name node_modules -prune -o -name '*.[ch]' -print))

format:
	clang-format -i $(C_FILES)

# the tests of tests/lint, which make check runs too, and whatever other checkers are installed
lint: all
	@$(RUN_TESTS) lint:plain:$(BUILD)
	@failed=; \
	try() { if command -v "$$1" >/dev/null 2>&1; then echo "lint: $$1"; "$$@" || failed="$$failed $$1"; \
		else echo "lint: $$1 is not installed"; fi; }; \
	try clang-format --dry-run -Werror $(C_FILES); \
	try shellcheck $(wildcard packaging/*.sh .ci/run tests/fuzz/run); \
	try mandoc -T lint -W warning $(wildcard man/*.[1-9]); \
	try cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 -Isrc \
		--suppress=missingIncludeSystem -D_GNU_SOURCE src; \
	[ -z "$$failed" ] || { echo "lint: complaints from$$failed" >&2; exit 1; }

# ---- installing

wsrelayd_DIR = $(sbindir)
wsrelayctl_DIR = $(sbindir)
wsdial_DIR = $(bindir)
MAN_PAGES = $(notdir $(wildcard man/*.[1-9]))
DEMO_FILES = $(sort $(shell find conf/demo -type f 2>/dev/null))
man_path = $(mandir)/man$(subst .,,$(suffix $1))/$1

# What is installed beside the programs, as SOURCE:PLACE; names of installed paths are filled in. Of CONF_FILES, an
# administrator's changes stay: a file that is there is not written over, and only an unchanged one is removed.
CONF_FILES = \
	conf/wsrelayd.ini:$(pkgsysconfdir)/wsrelayd.ini \
	packaging/logrotate/wsrelayd:$(sysconfdir)/logrotate.d/wsrelayd
DATA_FILES = \
	$(foreach m,$(MAN_PAGES),man/$m:$(call man_path,$m)) \
	conf/demo.ini:$(pkgdatadir)/demo.ini \
	$(foreach f,$(DEMO_FILES),$f:$(pkgdatadir)/$(f:conf/%=%)) \
	README.md:$(docdir)/README.md \
	$(foreach f,$(wildcard docs/*.md),$f:$(docdir)/$(f:docs/%=%)) \
	packaging/examples/socket.ini:$(docdir)/examples/socket.ini \
	packaging/examples/credentials.conf:$(docdir)/examples/credentials.conf \
	packaging/monitoring/grafana-dashboard.json:$(docdir)/examples/grafana-dashboard.json \
	packaging/monitoring/wsrelayd.rules.yml:$(docdir)/examples/wsrelayd.rules.yml \
	packaging/apparmor/usr.sbin.wsrelayd.in:$(docdir)/examples/usr.sbin.wsrelayd
ifneq ($(systemdsystemunitdir),)
DATA_FILES += \
	packaging/systemd/wsrelayd.service.in:$(systemdsystemunitdir)/wsrelayd.service \
	packaging/systemd/wsrelayd.socket.in:$(systemdsystemunitdir)/wsrelayd.socket \
	packaging/systemd/wsrelayd.sysusers:$(prefix)/lib/sysusers.d/wsrelayd.conf \
	packaging/systemd/wsrelayd.tmpfiles:$(prefix)/lib/tmpfiles.d/wsrelayd.conf
endif
# folders of our own, which uninstall removes when they are empty, the inner ones first
OWN_DIRS = $(pkgsysconfdir)/wsrelayd.ini.d $(pkgsysconfdir) $(pkgdatadir)/demo $(pkgdatadir) $(docdir)/examples $(docdir)

source_of = $(firstword $(subst :, ,$1))
place_of = $(DESTDIR)$(lastword $(subst :, ,$1))

SUBSTITUTE = sed -e 's,@sbindir@,$(sbindir),g' -e 's,@bindir@,$(bindir),g' -e 's,@sysconfdir@,$(sysconfdir),g' \
	-e 's,@localstatedir@,$(localstatedir),g' -e 's,@pkgdatadir@,$(pkgdatadir),g' -e 's,@docdir@,$(docdir),g' \
	-e 's,@VERSION@,$(VERSION),g' -e 's,@service_type@,$(if $(filter yes,$(HAVE_SYSTEMD)),notify,exec),g' \
	-e 's,^DocumentRoot=conf/,DocumentRoot=$(pkgdatadir)/,' \
	$(if $(filter yes,$(HAVE_SYSTEMD)),,-e '/^WatchdogSec=/d' -e '/^\# it is alive while all/d')

# each ends in a new line, for $(foreach)
define install_data
	$(SAY) INST '$(call place_of,$1)'
	$(Q)$(INSTALL) -d '$(dir $(call place_of,$1))'
	$(Q)$(SUBSTITUTE) $(call source_of,$1) | $(INSTALL_DATA) /dev/stdin '$(call place_of,$1)'

endef
define install_conf
	$(Q)if [ -e '$(call place_of,$1)' ]; then echo '  KEEP  $(call place_of,$1)'; else echo '  INST  $(call place_of,$1)' && \
		$(INSTALL) -d '$(dir $(call place_of,$1))' && \
		$(SUBSTITUTE) $(call source_of,$1) | $(INSTALL_DATA) /dev/stdin '$(call place_of,$1)'; fi

endef
define install_program
	$(SAY) INST '$(DESTDIR)$($1_DIR)/$1'
	$(Q)$(INSTALL) -d '$(DESTDIR)$($1_DIR)'
	$(Q)$(INSTALL_PROGRAM) $(BUILD)/$1 '$(DESTDIR)$($1_DIR)/$1'

endef
define uninstall_conf
	$(Q)if $(SUBSTITUTE) $(call source_of,$1) | cmp -s - '$(call place_of,$1)'; then rm -f '$(call place_of,$1)'; \
		elif [ -e '$(call place_of,$1)' ]; then echo '  KEEP  $(call place_of,$1)'; fi

endef
define newline


endef

install: all
	$(foreach p,$(PROGRAM_NAMES),$(call install_program,$p))
	$(foreach f,$(CONF_FILES),$(call install_conf,$f))
	$(Q)$(INSTALL) -d '$(DESTDIR)$(pkgsysconfdir)/wsrelayd.ini.d'
	$(foreach f,$(DATA_FILES),$(call install_data,$f))

install-strip:
	$(MAKE) INSTALL_PROGRAM='$(INSTALL_PROGRAM) -s' install

# what install put there, and nothing else: not a configuration that anybody changed, no file that anybody added
uninstall:
	rm -f $(foreach p,$(PROGRAM_NAMES),'$(DESTDIR)$($p_DIR)/$p')
	$(foreach f,$(DATA_FILES),$(Q)rm -f '$(call place_of,$f)'$(newline))
	$(foreach f,$(CONF_FILES),$(call uninstall_conf,$f))
	$(foreach d,$(OWN_DIRS),$(Q)rmdir '$(DESTDIR)$d' 2>/dev/null || true$(newline))

# ---- releasing

DIST = wsrelayd-$(VERSION)

dist: configure
	@packaging/dist.sh '$(DIST)' '$(BUILD)'

deb: dist
	@packaging/build-deb.sh '$(DIST)' '$(BUILD)'

rpm: dist
	@packaging/build-rpm.sh '$(DIST)' '$(BUILD)'

# ---- the rest

clean:
	rm -rf $(BUILD)

distclean: clean
	rm -rf config.mk config.status config.log autom4te.cache $(if $(wildcard .git),configure)

help:
	@sed -n '/^# HELP/,$$s/^#   //p' Makefile

.PHONY: all run check check-unit check-fuzz check-scenario check-lint check-plain check-build check-build-unit check-build-fuzz \
	check-build-scenario unit-programs need-check replay-programs fuzz-programs bench-programs fuzz-build fuzz bench soak soak-programs \
	cover format lint install install-strip uninstall dist deb rpm clean distclean help FORCE

# HELP
#   make                 build/wsrelayd and its tools (V=1 shows the commands)
#   make run             start the gateway with conf/demo.ini on 127.0.0.1:8080 (PORT=9000 for another port)
#   make check           every test; ends with "N passed, N failed"
#   make check-unit      only the unit tests; also check-fuzz, check-scenario, check-lint
#   make fuzz            fuzz each target for FUZZ_SECONDS=60 (needs clang)
#   make bench           the benchmarks
#   make soak            everything that goes wrong in a year, for SOAK_SECONDS=3600 (make check: 600)
#   make cover           the tests on a build with gcov, and which lines they reach
#   make format          clang-format over the sources
#   make lint            every checker that is installed
#   make install         DESTDIR=, and the paths that ./configure was given; install-strip, uninstall
#   make dist            build/wsrelayd-VERSION.tar.gz, the same bytes each time
#   make deb, make rpm   packages, below build/
#   make clean           remove build/; distclean removes what configure wrote as well
#   make BUILD=build/asan SANITIZE=address,undefined   a build of another flavour, beside the plain one (or thread)
